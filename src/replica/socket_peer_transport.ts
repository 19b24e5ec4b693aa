import { Buffer } from "node:buffer";
import net, { isIP } from "node:net";
import tls, { type PeerCertificate } from "node:tls";
import type { RosterEntry } from "../backend/replica_table.ts";
import {
  decodeForwardAnswers,
  encodeForwardRequests,
  type ForwardRequests,
} from "../pb/stelepb.ts";
import {
  OutgoingCall,
  type OutgoingCallListener,
  type OutgoingHead,
} from "../transport/grpc/outgoing_call.ts";
import { Code, type Status, StatusError } from "../transport/grpc/status.ts";
import { type PeerAddress, peerAddress } from "./peer_address.ts";
import {
  FORWARD_PATH,
  type PeerListener,
  type PeerStream,
  type PeerTransport,
  SECRET_FIELD,
  TARGET_FIELD,
} from "./peer_transport.ts";

export interface PeerTls {
  /** PEM; undefined: those of the system. */
  readonly authorities: Uint8Array | undefined;
  /** PEM, shown to replicas that ask for a client's certificate; undefined: none. */
  readonly certificate: Uint8Array | undefined;
  readonly key: Uint8Array | undefined;
  /** False for certificates that replicas make for themselves. */
  readonly verifies: boolean;
}

export interface SocketPeerTransportOptions {
  /** What all replicas of the database know. */
  readonly secret: Uint8Array;
  /** For addresses that begin with `https`; looked at for each connection, since files are renewed. */
  readonly tls: () => PeerTls;
}

/** A replica whose machine is gone is found out before it is asked anything. */
const KEEP_ALIVE_MS = 5000;
/** Time for the last bytes to leave. */
const LEAVE_MS = 1000;

/** Streams over sockets: one for each, to an address that the other replica advertises. */
export class SocketPeerTransport implements PeerTransport {
  readonly #options: SocketPeerTransportOptions;
  readonly #streams = new Set<SocketPeerStream>();
  /** Counts connections: of several addresses each has its turn. */
  #turns = 0;

  constructor(options: SocketPeerTransportOptions) {
    this.#options = options;
  }

  connect(peer: RosterEntry, listener: PeerListener): PeerStream {
    const url = peer.clientUrls[this.#turns++ % peer.clientUrls.length];
    try {
      const address = peerAddress(url);
      const stream = new SocketPeerStream(
        openSocket(address, this.#options.tls),
        this.#head(address, peer),
        listener,
        () => this.#streams.delete(stream),
      );
      this.#streams.add(stream);
      return stream;
    } catch (error) {
      const cause = error instanceof Error ? error : new Error(String(error));
      queueMicrotask(() => listener.onClose(cause));
      return { send: () => {}, close: () => {} };
    }
  }

  close(): void {
    for (const stream of [...this.#streams]) stream.close();
  }

  #head({ isSecure, authority }: PeerAddress, peer: RosterEntry): OutgoingHead {
    return {
      scheme: isSecure ? "https" : "http",
      authority,
      path: FORWARD_PATH,
      metadata: {
        [SECRET_FIELD]: this.#options.secret.toHex(),
        [TARGET_FIELD]: peer.id.toString(16),
      },
    };
  }
}

/** One call on a socket of its own. What is written before the socket is connected waits in it. */
class SocketPeerStream implements PeerStream, OutgoingCallListener {
  readonly #socket: net.Socket;
  readonly #call: OutgoingCall;
  readonly #listener: PeerListener;
  readonly #onEnd: () => void;

  constructor(
    socket: net.Socket,
    head: OutgoingHead,
    listener: PeerListener,
    onEnd: () => void,
  ) {
    this.#socket = socket;
    this.#listener = listener;
    this.#onEnd = onEnd;
    socket.setNoDelay(true);
    socket.setKeepAlive(true, KEEP_ALIVE_MS);
    this.#call = new OutgoingCall(head, this);
    socket.on("data", (chunk: Uint8Array) => this.#call.receive(chunk));
    socket.on("error", (error: Error) => this.#call.lost(error.message));
    socket.on("close", () => this.#call.lost("the connection was closed"));
  }

  send(message: ForwardRequests): void {
    this.#call.send(encodeForwardRequests(message));
  }

  close(): void {
    if (this.#call.isOver) return;
    this.#call.cancel();
    this.#leave();
  }

  write(bytes: Uint8Array): void {
    if (!this.#socket.destroyed) this.#socket.write(bytes);
  }

  onMessage(message: Uint8Array): void {
    let answers;
    try {
      answers = decodeForwardAnswers(message);
    } catch (error) {
      return this.#call.lost(`its answer cannot be read: ${error}`);
    }
    this.#listener.onAnswers(answers);
  }

  onEnd({ code, message }: Status): void {
    this.#leave();
    const error = code === Code.Ok ? undefined : new StatusError(code, message);
    this.#listener.onClose(error);
  }

  #leave(): void {
    this.#onEnd();
    const socket = this.#socket;
    // What is written still goes out; whoever does not read it is not waited for.
    const timer = setTimeout(() => socket.destroy(), LEAVE_MS);
    socket.once("close", () => clearTimeout(timer));
    socket.end(() => socket.destroy());
  }
}

function openSocket(
  { place, isSecure }: PeerAddress,
  readTls: () => PeerTls,
): net.Socket {
  const target = place.kind === "tcp"
    ? { host: place.host, port: place.port }
    : { path: place.path };
  if (!isSecure) return net.connect(target);
  const host = place.kind === "tcp" ? place.host : "localhost";
  const { authorities, certificate, key, verifies } = readTls();
  return tls.connect({
    ...target,
    ALPNProtocols: ["h2"],
    // Addresses are no server names (RFC 6066, 3): another is sent, and the certificate compared with the address.
    servername: isIP(host) === 0 ? host : "localhost",
    rejectUnauthorized: verifies,
    checkServerIdentity: (_name: string, shown: PeerCertificate) =>
      verifies ? tls.checkServerIdentity(host, shown) : undefined,
    ...(authorities !== undefined && { ca: asBuffer(authorities) }),
    ...(certificate !== undefined && { cert: asBuffer(certificate) }),
    ...(key !== undefined && { key: asBuffer(key) }),
  });
}

function asBuffer({ buffer, byteOffset, byteLength }: Uint8Array): Buffer {
  return Buffer.from(buffer as ArrayBuffer, byteOffset, byteLength);
}
