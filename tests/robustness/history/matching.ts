/**
 * A matching of bipartite graphs as large as can be, by augmenting paths (Kuhn): for each item on the left
 * one of its neighbours on the right, none of them twice. What is missing in the answer found none.
 */
export function match<Left, Right>(
  lefts: readonly Left[],
  neighbours: (left: Left) => readonly Right[],
): Map<Left, Right> {
  const partner = new Map<Right, Left>();
  const found = new Map<Left, Right>();
  const augment = (left: Left, tried: Set<Right>): boolean => {
    for (const right of neighbours(left)) {
      if (tried.has(right)) continue;
      tried.add(right);
      const other = partner.get(right);
      if (other !== undefined && !augment(other, tried)) continue;
      partner.set(right, left);
      found.set(left, right);
      return true;
    }
    return false;
  };
  for (const left of lefts) augment(left, new Set());
  return found;
}
