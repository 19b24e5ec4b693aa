import { text } from "../../../base/bytes.ts";
import { BackendError, type Head } from "../../backend.ts";
import type { StateKind } from "../../state_change.ts";
import type {
  LogReader,
  RowPage,
  StatePage,
  StoredRow,
  StoredState,
} from "../remote/dialect.ts";
import type { Parameter } from "./literal.ts";
import type { Row } from "./mysql_connection.ts";
import type { MysqlSql } from "./sql.ts";

/** Runs one query, and gives back the rows of the last statement in it that has any. */
export type Ask = (
  statement: string,
  parameters?: readonly Parameter[],
) => Promise<Row[]>;

/** What can be read in a transaction too. */
export class MysqlReader implements LogReader {
  readonly #sql: MysqlSql;
  readonly #ask: Ask;

  constructor(sql: MysqlSql, ask: Ask) {
    this.#sql = sql;
    this.#ask = ask;
  }

  async head(): Promise<Head> {
    const [row] = await this.#ask(this.#sql.selectHead);
    if (row === undefined) {
      throw new BackendError("Cannot read the head: the log has no batch", {
        kind: "corrupt",
      });
    }
    return {
      seq: numberIn(row, 0),
      revision: numberIn(row, 1),
      id: bytesIn(row, 2),
    };
  }

  async rows(page: RowPage): Promise<StoredRow[]> {
    const { afterRev, afterSub, throughRev, maxRows, maxBytes } = page;
    const rows = await this.#ask(this.#sql.selectRows, [
      ...[afterRev, afterSub, afterRev, throughRev],
      ...[maxRows, maxBytes],
    ]);
    return rows.map(storedRow);
  }

  async state(kind: StateKind, page: StatePage): Promise<StoredState[]> {
    const after = page.afterId ?? new Uint8Array(0);
    const rows = await this.#ask(this.#sql.selectState, [
      ...[kind, after, after],
      ...[page.afterId === undefined ? 1 : 0, page.maxEntries],
    ]);
    return rows.map((row) => ({
      id: bytesIn(row, 0),
      key: bytesIn(row, 1),
      value: bytesIn(row, 2),
    }));
  }
}

/** A row as `selectRows` and `selectRowsById` give it. */
export function storedRow(row: Row): StoredRow {
  const key = bytesIn(row, 2);
  const value = bytesIn(row, 3);
  // Joined here: CONCAT is NULL where it is longer than max_allowed_packet, which may have been made smaller.
  const bytes = new Uint8Array(key.length + value.length);
  bytes.set(key);
  bytes.set(value, key.length);
  return {
    rev: numberIn(row, 0),
    sub: numberIn(row, 1),
    keyBytes: key.length,
    bytes,
    createRev: numberIn(row, 4),
    version: numberIn(row, 5),
    lease: text(bytesIn(row, 6)),
    deleted: numberIn(row, 7) !== 0,
  };
}

export function bytesIn(row: Row, column: number): Uint8Array {
  const cell = row[column];
  if (cell instanceof Uint8Array) return cell;
  throw new BackendError("Cannot read a row: a column is NULL", {
    kind: "corrupt",
  });
}

/** Numbers come in decimal, as ASCII; NaN for anything else. */
export function numberIn(row: Row, column: number): number {
  const digits = bytesIn(row, column);
  const isNegative = digits[0] === MINUS;
  let value = 0;
  for (let i = isNegative ? 1 : 0; i < digits.length; i++) {
    const digit = digits[i]! - ZERO;
    if (digit < 0 || digit > 9) return NaN;
    value = value * 10 + digit;
  }
  return isNegative ? -value : value;
}

const MINUS = 0x2d;
const ZERO = 0x30;
