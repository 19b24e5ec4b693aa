package clients_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
)

func TestLeaseLife(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	lease, err := c.Grant(ctx, 60)
	must(t, err)
	if lease.TTL != 60 || lease.ID == 0 {
		t.Errorf("granted %v", lease)
	}
	for _, key := range []string{"b", "a"} {
		_, err = c.Put(ctx, p+key, "v", clientv3.WithLease(lease.ID))
		must(t, err)
	}
	alive, err := c.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys())
	must(t, err)
	if alive.GrantedTTL != 60 || alive.TTL > 60 || alive.TTL < 50 || len(alive.Keys) != 2 {
		t.Errorf("time to live %v", alive)
	}
	all, err := c.Leases(ctx)
	must(t, err)
	if !contains(all.Leases, lease.ID) {
		t.Errorf("lease %x is not listed", lease.ID)
	}
	_, err = c.Put(ctx, p+"a", "w", clientv3.WithIgnoreLease())
	must(t, err)
	_, err = c.Put(ctx, p+"b", "w")
	must(t, err)
	_, err = c.Revoke(ctx, lease.ID)
	must(t, err)
	left, err := c.Get(ctx, p, clientv3.WithPrefix(), clientv3.WithKeysOnly())
	must(t, err)
	if len(left.Kvs) != 1 || string(left.Kvs[0].Key) != p+"b" {
		t.Errorf("left after the revocation: %v", left.Kvs)
	}
}

func contains(leases []clientv3.LeaseStatus, id clientv3.LeaseID) bool {
	for _, lease := range leases {
		if lease.ID == id {
			return true
		}
	}
	return false
}

func TestLeaseErrors(t *testing.T) {
	c, ctx := dial(t), bounded(t)
	_, err := c.Revoke(ctx, 987654321)
	if !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		t.Errorf("revoke: %v", err)
	}
	if _, err = c.KeepAliveOnce(ctx, 987654321); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		t.Errorf("keep alive: %v", err)
	}
	if _, err = c.Grant(ctx, 9_000_000_001); !errors.Is(err, rpctypes.ErrLeaseTTLTooLarge) {
		t.Errorf("too large: %v", err)
	}
	gone, err := c.TimeToLive(ctx, 987654321)
	must(t, err)
	if gone.TTL != -1 {
		t.Errorf("time to live of no lease: %v", gone)
	}
}

func TestLeaseExpires(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	lease, err := c.Grant(ctx, 1)
	must(t, err)
	put, err := c.Put(ctx, p+"k", "v", clientv3.WithLease(lease.ID))
	must(t, err)
	watch := c.Watch(ctx, p+"k", clientv3.WithRev(put.Header.Revision+1))
	if got := describe(events(t, watch, 1), p); got != "DELETE k" {
		t.Errorf("got %s", got)
	}
	if _, err = c.KeepAliveOnce(ctx, lease.ID); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		t.Errorf("keep alive after its end: %v", err)
	}
}

// TestLeaseKeepAlive needs a second renewal to see that the first one was answered with the whole TTL.
func TestLeaseKeepAlive(t *testing.T) {
	between := startProxy(t)
	c := dial(t, func(cfg *clientv3.Config) { cfg.Endpoints = []string{between.address()} })
	ctx, cancel := context.WithCancel(bounded(t))
	defer cancel()
	lease, err := c.Grant(ctx, 3)
	must(t, err)
	renewals, err := c.KeepAlive(ctx, lease.ID)
	must(t, err)
	for i := range 3 {
		if got := receive(t, "renewal", renewals); got.TTL != 3 || got.ID != lease.ID {
			t.Errorf("renewal %d: %v", i, got)
		}
		if i == 1 {
			between.cut()
		}
	}
	_, err = c.Revoke(ctx, lease.ID)
	must(t, err)
	deadline := time.After(patience)
	for {
		select {
		case _, ok := <-renewals:
			if !ok {
				return
			}
		case <-deadline:
			t.Fatal("the channel of a revoked lease stays open")
		}
	}
}

func TestLeaseKeepAliveOnce(t *testing.T) {
	c, ctx := dial(t), bounded(t)
	lease, err := c.Grant(ctx, 30)
	must(t, err)
	renewed, err := c.KeepAliveOnce(clientv3.WithRequireLeader(ctx), lease.ID)
	must(t, err)
	if renewed.TTL != 30 {
		t.Errorf("renewed to %d", renewed.TTL)
	}
}
