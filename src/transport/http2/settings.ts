import { ConnectionError } from "./errors.ts";
import { INITIAL_WINDOW_SIZE, MAX_WINDOW_SIZE } from "./flow_control.ts";
import {
  DEFAULT_HEADER_TABLE_SIZE,
  ErrorCode,
  MAX_MAX_FRAME_SIZE,
  MIN_MAX_FRAME_SIZE,
  readUint32,
  SettingId,
} from "./frame.ts";
import type { Http2Limits } from "./limits.ts";

/** Bytes of one setting: a 16-bit id and a 32-bit value. */
export const SETTING_BYTES = 6;
const MAX_UINT32 = 2 ** 32 - 1;

/** What the client told of itself, as far as it concerns a server (RFC 9113 §6.5.2). */
export class PeerSettings {
  headerTableSize = DEFAULT_HEADER_TABLE_SIZE;
  initialWindowSize = INITIAL_WINDOW_SIZE;
  maxFrameSize = MIN_MAX_FRAME_SIZE;

  /** Takes over the settings in bytes[start, end), in order. Unknown ones are ignored. */
  apply(bytes: Uint8Array, start: number, end: number): void {
    for (let at = start; at < end; at += SETTING_BYTES) {
      const id = (bytes[at]! << 8) | bytes[at + 1]!;
      const value = readUint32(bytes, at + 2);
      switch (id) {
        case SettingId.HeaderTableSize:
          this.headerTableSize = value;
          break;
        case SettingId.EnablePush:
          if (value > 1) throw invalid("SETTINGS_ENABLE_PUSH");
          break;
        case SettingId.InitialWindowSize:
          if (value > MAX_WINDOW_SIZE) {
            throw new ConnectionError(
              ErrorCode.FlowControlError,
              "invalid SETTINGS_INITIAL_WINDOW_SIZE",
            );
          }
          this.initialWindowSize = value;
          break;
        case SettingId.MaxFrameSize:
          if (value < MIN_MAX_FRAME_SIZE || value > MAX_MAX_FRAME_SIZE) {
            throw invalid("SETTINGS_MAX_FRAME_SIZE");
          }
          this.maxFrameSize = value;
          break;
      }
    }
  }
}

/** What we tell the client: id, value, id, value…; defaults are left out. */
export function announcedSettings(limits: Http2Limits): number[] {
  const settings: number[] = [];
  if (limits.headerTableSize !== DEFAULT_HEADER_TABLE_SIZE) {
    settings.push(SettingId.HeaderTableSize, limits.headerTableSize);
  }
  if (limits.maxConcurrentStreams < MAX_UINT32) {
    settings.push(SettingId.MaxConcurrentStreams, limits.maxConcurrentStreams);
  }
  if (limits.initialWindowSize !== INITIAL_WINDOW_SIZE) {
    settings.push(SettingId.InitialWindowSize, limits.initialWindowSize);
  }
  if (limits.maxFrameSize !== MIN_MAX_FRAME_SIZE) {
    settings.push(SettingId.MaxFrameSize, limits.maxFrameSize);
  }
  settings.push(SettingId.MaxHeaderListSize, limits.maxHeaderListBytes);
  return settings;
}

function invalid(name: string): ConnectionError {
  return new ConnectionError(ErrorCode.ProtocolError, `invalid ${name}`);
}
