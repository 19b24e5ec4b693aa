import { MemoryBackend } from "../../src/backend/memory.ts";
import { testBackend } from "./backend_contract.ts";

testBackend("MemoryBackend", () => ({
  create: () => new MemoryBackend(),
  reopen: (backend) => backend,
  cleanUp() {},
}));
