import assert from "node:assert/strict";
import {
  type HealthCheckResponse,
  HealthCheckResponse_ServingStatus as ServingStatus,
  newHealthCheckRequest,
} from "../../../../src/pb/grpc_health_v1.ts";
import { HealthHandlers } from "../../../../src/transport/grpc/health.ts";
import { FakeCall, FakeWriter } from "./call_doubles.ts";

const SERVER = newHealthCheckRequest({});
const OTHER = newHealthCheckRequest({ service: "etcdserverpb.KV" });
const { SERVING, NOT_SERVING, SERVICE_UNKNOWN } = ServingStatus;

function statuses(out: FakeWriter<HealthCheckResponse>): number[] {
  return out.sent.map(({ status }) => status);
}

Deno.test("HealthHandlers.check() and list() follow setServing()", () => {
  const health = new HealthHandlers();
  const listed = () =>
    health.list().statuses.map(({ key, value }) => [key, value?.status]);
  assert.equal(health.check(SERVER).status, SERVING);
  assert.deepEqual(listed(), [["", SERVING]]);
  health.setServing(false);
  assert.equal(health.check(SERVER).status, NOT_SERVING);
  assert.deepEqual(listed(), [["", NOT_SERVING]]);
});

Deno.test("HealthHandlers.check() knows the server as a whole only", () => {
  assert.throws(() => new HealthHandlers().check(OTHER), {
    code: 5,
    message: "unknown service",
  });
});

Deno.test("HealthHandlers.watch() tells of changes, and of nothing else, until its call is cancelled", async () => {
  const health = new HealthHandlers();
  const call = new FakeCall();
  const out = new FakeWriter<HealthCheckResponse>();
  const done = health.watch(SERVER, call, out);
  health.setServing(true);
  assert.deepEqual(statuses(out), [SERVING]);
  health.setServing(false);
  health.setServing(false);
  health.setServing(true);
  assert.deepEqual(statuses(out), [SERVING, NOT_SERVING, SERVING]);
  call.cancel();
  await done;
  health.setServing(false);
  assert.equal(out.sent.length, 3);
});

Deno.test("HealthHandlers.watch() keeps the stream of a name that is not known", async () => {
  const health = new HealthHandlers();
  const call = new FakeCall();
  const out = new FakeWriter<HealthCheckResponse>();
  const done = health.watch(OTHER, call, out);
  health.setServing(false);
  assert.deepEqual(statuses(out), [SERVICE_UNKNOWN]);
  assert.equal(out.isEnded, false);
  call.cancel();
  await done;
});

Deno.test("HealthHandlers.watch() of a call that is cancelled already ends", async () => {
  const call = new FakeCall();
  call.cancel();
  await new HealthHandlers().watch(SERVER, call, new FakeWriter());
});
