package clients_test

import (
	"context"
	"fmt"
	"strings"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/leasing"
	"go.etcd.io/etcd/client/v3/mirror"
	"go.etcd.io/etcd/client/v3/namespace"
	"go.etcd.io/etcd/client/v3/naming/endpoints"
	"go.etcd.io/etcd/client/v3/naming/resolver"
	"go.etcd.io/etcd/client/v3/ordering"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	"google.golang.org/grpc/health/grpc_health_v1"
)

// TestLeasing has two caching clients: what one writes, the other reads, although it had it in its cache.
func TestLeasing(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	one, closeOne, err := leasing.NewKV(c, p+"leases/")
	must(t, err)
	defer closeOne()
	two, closeTwo, err := leasing.NewKV(c, p+"leases/")
	must(t, err)
	defer closeTwo()
	for round := range 5 {
		value := fmt.Sprint(round)
		_, err = one.Put(ctx, p+"k", value)
		must(t, err)
		for name, kv := range map[string]clientv3.KV{"one": one, "two": two} {
			for range 2 {
				resp, err := kv.Get(ctx, p+"k")
				must(t, err)
				if len(resp.Kvs) != 1 || string(resp.Kvs[0].Value) != value {
					t.Errorf("%s reads %v, want %s", name, resp.Kvs, value)
				}
			}
		}
		one, two = two, one
	}
	txn, err := two.Txn(ctx).If(clientv3.Compare(clientv3.Value(p+"k"), "=", "4")).
		Then(clientv3.OpPut(p+"k", "txn"), clientv3.OpGet(p+"k")).Else(clientv3.OpGet(p + "k")).Commit()
	must(t, err)
	if !txn.Succeeded {
		t.Errorf("transaction: %v", txn)
	}
	_, err = one.Delete(ctx, p+"k")
	must(t, err)
	gone, err := two.Get(ctx, p+"k")
	must(t, err)
	if len(gone.Kvs) != 0 {
		t.Errorf("deleted key reads %v", gone.Kvs)
	}
}

func TestMirror(t *testing.T) {
	c, p := dial(t), prefix(t)
	ctx, cancel := context.WithCancel(bounded(t))
	defer cancel()
	const keys = 1500 // More than one page of the syncer.
	for i := 0; i < keys; i += 100 {
		var ops []clientv3.Op
		for j := i; j < i+100; j++ {
			ops = append(ops, clientv3.OpPut(fmt.Sprintf("%s%05d", p, j), "v"))
		}
		_, err := c.Txn(ctx).Then(ops...).Commit()
		must(t, err)
	}
	syncer := mirror.NewSyncer(c, p, 0)
	base, failures := syncer.SyncBase(ctx)
	got := 0
	for resp := range base {
		got += len(resp.Kvs)
	}
	for err := range failures {
		must(t, err)
	}
	if got != keys {
		t.Errorf("base has %d keys", got)
	}
	updates := syncer.SyncUpdates(ctx)
	_, err := c.Put(ctx, p+"new", "1")
	must(t, err)
	_, err = c.Delete(ctx, p+"00000")
	must(t, err)
	if got := describe(events(t, updates, 2), p); got != "PUT new=1, DELETE 00000" {
		t.Errorf("updates: %s", got)
	}
}

func TestNamespace(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	kv, watcher, lease := namespace.NewKV(c.KV, p), namespace.NewWatcher(c.Watcher, p), namespace.NewLease(c.Lease, p)
	granted, err := lease.Grant(ctx, 60)
	must(t, err)
	put, err := kv.Put(ctx, "a", "1", clientv3.WithLease(granted.ID))
	must(t, err)
	outside, err := c.Get(ctx, p+"a")
	must(t, err)
	if len(outside.Kvs) != 1 {
		t.Errorf("outside: %v", outside.Kvs)
	}
	resp, err := kv.Txn(ctx).If(clientv3.Compare(clientv3.Version("a"), "=", 1)).
		Then(clientv3.OpPut("b", "2"), clientv3.OpGet("", clientv3.WithFromKey())).Commit()
	must(t, err)
	if !resp.Succeeded || len(resp.Responses[1].GetResponseRange().Kvs) != 2 {
		t.Errorf("transaction: %v", resp)
	}
	if got := describe(events(t, watcher.Watch(ctx, "", clientv3.WithPrefix(), clientv3.WithRev(put.Header.Revision)), 2), ""); got != "PUT a=1, PUT b=2" {
		t.Errorf("watch: %s", got)
	}
	alive, err := lease.TimeToLive(ctx, granted.ID, clientv3.WithAttachedKeys())
	must(t, err)
	if len(alive.Keys) != 1 || string(alive.Keys[0]) != "a" {
		t.Errorf("attached: %q", alive.Keys)
	}
}

func TestOrdering(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	kv := ordering.NewKV(c.KV, func(op clientv3.Op, resp clientv3.OpResponse, prev int64) error {
		return fmt.Errorf("revision went back from %d", prev)
	})
	for i := range 20 {
		_, err := kv.Put(ctx, p+"k", fmt.Sprint(i))
		must(t, err)
		resp, err := kv.Get(ctx, p+"k", clientv3.WithSerializable())
		must(t, err)
		if string(resp.Kvs[0].Value) != fmt.Sprint(i) {
			t.Errorf("read %s, want %d", resp.Kvs[0].Value, i)
		}
		_, err = kv.Txn(ctx).Then(clientv3.OpGet(p + "k")).Commit()
		must(t, err)
	}
}

func TestNamingEndpoints(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	service := strings.Trim(p, "/")
	manager, err := endpoints.NewManager(c, service)
	must(t, err)
	updates, err := manager.NewWatchChannel(ctx)
	must(t, err)
	must(t, manager.AddEndpoint(ctx, service+"/1", endpoints.Endpoint{Addr: endpoint(t), Metadata: "here"}))
	added := receive(t, "update", updates)
	if len(added) != 1 || added[0].Op != endpoints.Add || added[0].Endpoint.Addr != endpoint(t) {
		t.Errorf("update: %v", added)
	}
	list, err := manager.List(ctx)
	must(t, err)
	if len(list) != 1 || list[service+"/1"].Metadata != "here" {
		t.Errorf("list: %v", list)
	}
	// What the name stands for is this very server, whose health is asked for through it.
	builder, err := resolver.NewBuilder(c)
	must(t, err)
	conn, err := grpc.NewClient("etcd:///"+service, grpc.WithResolvers(builder),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	must(t, err)
	defer func() { _ = conn.Close() }()
	health, err := grpc_health_v1.NewHealthClient(conn).Check(ctx, &grpc_health_v1.HealthCheckRequest{})
	must(t, err)
	if health.Status != grpc_health_v1.HealthCheckResponse_SERVING {
		t.Errorf("health: %v", health.Status)
	}
	must(t, manager.Update(ctx, []*endpoints.UpdateWithOpts{
		endpoints.NewDeleteUpdateOpts(service + "/1"),
		endpoints.NewAddUpdateOpts(service+"/2", endpoints.Endpoint{Addr: "127.0.0.1:1"}),
	}))
	list, err = manager.List(ctx)
	must(t, err)
	if len(list) != 1 || list[service+"/2"].Addr != "127.0.0.1:1" {
		t.Errorf("list after the update: %v", list)
	}
}
