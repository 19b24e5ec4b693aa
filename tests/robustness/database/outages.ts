import type { FaultProxy } from "../../support/fault_proxy.ts";
import type { Random } from "../../support/random.ts";

/** The server goes away for a moment, again and again, until `stop`. */
export class Outages {
  readonly #proxy: FaultProxy;
  readonly #random: Random;
  #timer: ReturnType<typeof setTimeout>;

  constructor(proxy: FaultProxy, random: Random) {
    this.#proxy = proxy;
    this.#random = random;
    this.#timer = setTimeout(() => this.#begin(), 500 + random.int(1000));
  }

  stop(): void {
    clearTimeout(this.#timer);
    this.#proxy.accept();
  }

  #begin(): void {
    this.#proxy.refuse();
    this.#timer = setTimeout(() => this.#end(), 20 + this.#random.int(150));
  }

  #end(): void {
    this.#proxy.accept();
    this.#timer = setTimeout(() => this.#begin(), 500 + this.#random.int(1000));
  }
}
