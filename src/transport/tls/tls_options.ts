/** What TLS is to be. Files are named; they are read at start and again when they change. */
export interface TlsOptions {
  readonly certFile: string;
  readonly keyFile: string;
  /** Authorities that client certificates must come from; empty: clients are not asked for one. */
  readonly trustedCaFile: string;
  /** Whether the common name of a client's certificate says who the client is. */
  readonly clientCertAuth: boolean;
  /** Empty: no certificate is taken back. */
  readonly clientCrlFile: string;
  /** A client's certificate must be for one of them; empty: for anything. */
  readonly clientCertAllowedHostnames: readonly string[];
  readonly minVersion: TlsVersion;
  readonly maxVersion: TlsVersion;
  /** Of TLS 1.2, by Go's names; empty: all that the runtime has. */
  readonly cipherSuites: readonly string[];
}

export type TlsVersion = "TLSv1.2" | "TLSv1.3";
