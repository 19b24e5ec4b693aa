/** Stele's own version. */
export const STELE_VERSION = "0.1.0";

/** The version of etcd whose API is served: clients decide by it what they may ask for. */
export const ETCD_VERSION = "3.7.1";

/** What etcd calls the cluster version: the lowest minor version of all members. */
export const CLUSTER_VERSION = "3.7.0";

/** What etcd calls the storage version. */
export const STORAGE_VERSION = "3.7.0";
