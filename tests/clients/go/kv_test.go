package clients_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/clientv3util"
	"go.etcd.io/etcd/client/v3/kubernetes"
)

func TestKVPutGetDelete(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	first, err := c.Put(ctx, p+"a", "1")
	must(t, err)
	second, err := c.Put(ctx, p+"a", "2", clientv3.WithPrevKV())
	must(t, err)
	if second.Header.Revision != first.Header.Revision+1 || string(second.PrevKv.Value) != "1" {
		t.Errorf("put: revision %d after %d, previous %v", second.Header.Revision, first.Header.Revision, second.PrevKv)
	}
	old, err := c.Get(ctx, p+"a", clientv3.WithRev(first.Header.Revision))
	must(t, err)
	if len(old.Kvs) != 1 || string(old.Kvs[0].Value) != "1" || old.Kvs[0].Version != 1 {
		t.Errorf("get at the first revision: %v", old.Kvs)
	}
	deleted, err := c.Delete(ctx, p, clientv3.WithPrefix(), clientv3.WithPrevKV())
	must(t, err)
	if deleted.Deleted != 1 || string(deleted.PrevKvs[0].Value) != "2" {
		t.Errorf("delete: %v", deleted)
	}
}

func TestKVRangeOptions(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	revs := map[string]int64{}
	for i, key := range []string{"b", "a", "d", "c"} {
		resp, err := c.Put(ctx, p+key, fmt.Sprint(9-i))
		must(t, err)
		revs[key] = resp.Header.Revision
	}
	_, err := c.Put(ctx, p+"b", "again")
	must(t, err)
	cases := []struct {
		name  string
		opts  []clientv3.OpOption
		want  string
		count int64
		more  bool
	}{
		{"prefix", nil, "abcd", 4, false},
		{"limit", []clientv3.OpOption{clientv3.WithLimit(3)}, "abc", 4, true},
		{"descending", []clientv3.OpOption{clientv3.WithSort(clientv3.SortByKey, clientv3.SortDescend)}, "dcba", 4, false},
		{"by create revision", []clientv3.OpOption{clientv3.WithSort(clientv3.SortByCreateRevision, clientv3.SortAscend)}, "badc", 4, false},
		{"by modification", []clientv3.OpOption{clientv3.WithSort(clientv3.SortByModRevision, clientv3.SortDescend)}, "bcda", 4, false},
		{"by version", []clientv3.OpOption{clientv3.WithSort(clientv3.SortByVersion, clientv3.SortDescend), clientv3.WithLimit(1)}, "b", 4, true},
		{"by value", []clientv3.OpOption{clientv3.WithSort(clientv3.SortByValue, clientv3.SortAscend)}, "cdab", 4, false},
		{"count only", []clientv3.OpOption{clientv3.WithCountOnly()}, "", 4, false},
		{"keys only", []clientv3.OpOption{clientv3.WithKeysOnly()}, "abcd", 4, false},
		{"serializable", []clientv3.OpOption{clientv3.WithSerializable()}, "abcd", 4, false},
		{"minimal create revision", []clientv3.OpOption{clientv3.WithMinCreateRev(revs["d"])}, "cd", 4, false},
		{"maximal create revision", []clientv3.OpOption{clientv3.WithMaxCreateRev(revs["a"])}, "ab", 4, false},
		{"minimal modification", []clientv3.OpOption{clientv3.WithMinModRev(revs["c"])}, "bc", 4, false},
		{"maximal modification", []clientv3.OpOption{clientv3.WithMaxModRev(revs["a"])}, "a", 4, false},
		{"first created", clientv3.WithFirstCreate(), "b", 4, true},
		{"last revision", clientv3.WithLastRev(), "b", 4, true},
		{"first key", clientv3.WithFirstKey(), "a", 4, true},
		{"last key", clientv3.WithLastKey(), "d", 4, true},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			resp, err := c.Get(ctx, p, append([]clientv3.OpOption{clientv3.WithPrefix()}, tc.opts...)...)
			must(t, err)
			var got strings.Builder
			for _, kv := range resp.Kvs {
				got.WriteString(strings.TrimPrefix(string(kv.Key), p))
			}
			if got.String() != tc.want || resp.Count != tc.count || resp.More != tc.more {
				t.Errorf("got %q, count %d, more %v; want %q, %d, %v", got.String(), resp.Count, resp.More, tc.want, tc.count, tc.more)
			}
		})
	}
}

func TestKVGetStream(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	const keys = 300
	value := strings.Repeat("v", 10_000)
	for i := 0; i < keys; i += 100 {
		var ops []clientv3.Op
		for j := i; j < i+100; j++ {
			ops = append(ops, clientv3.OpPut(fmt.Sprintf("%s%04d", p, j), value))
		}
		_, err := c.Txn(ctx).Then(ops...).Commit()
		must(t, err)
	}
	stream, err := c.GetStream(ctx, p, clientv3.WithPrefix())
	must(t, err)
	var got int
	var count int64
	for part := range stream {
		must(t, part.Err())
		for _, kv := range part.Kvs {
			if want := fmt.Sprintf("%s%04d", p, got); string(kv.Key) != want || len(kv.Value) != len(value) {
				t.Fatalf("%d is %q with %d bytes, want %q", got, kv.Key, len(kv.Value), want)
			}
			got++
		}
		count = max(count, part.Count)
	}
	if got != keys || count != keys {
		t.Errorf("%d keys, count %d, want %d", got, count, keys)
	}
	whole, err := clientv3.GetStreamToGetResponse(mustStream(t, c, p))
	must(t, err)
	unary, err := c.Get(ctx, p, clientv3.WithPrefix())
	must(t, err)
	if len(whole.Kvs) != keys || whole.Count != unary.Count || whole.More != unary.More ||
		whole.Header.Revision != unary.Header.Revision {
		t.Errorf("stream put together: %d keys, count %d, more %v, revision %d; unary: %d, %v, %d",
			len(whole.Kvs), whole.Count, whole.More, whole.Header.Revision, unary.Count, unary.More, unary.Header.Revision)
	}
}

func mustStream(t *testing.T, c *clientv3.Client, p string) clientv3.GetStreamChan {
	t.Helper()
	stream, err := c.GetStream(bounded(t), p, clientv3.WithPrefix())
	must(t, err)
	return stream
}

func TestKVTxn(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	put, err := c.Put(ctx, p+"a", "5")
	must(t, err)
	conditions := []struct {
		name string
		cmp  clientv3.Cmp
		want bool
	}{
		{"value =", clientv3.Compare(clientv3.Value(p+"a"), "=", "5"), true},
		{"value !=", clientv3.Compare(clientv3.Value(p+"a"), "!=", "5"), false},
		{"value >", clientv3.Compare(clientv3.Value(p+"a"), ">", "4"), true},
		{"value <", clientv3.Compare(clientv3.Value(p+"a"), "<", "5"), false},
		{"version", clientv3.Compare(clientv3.Version(p+"a"), "=", 1), true},
		{"create", clientv3.Compare(clientv3.CreateRevision(p+"a"), "=", put.Header.Revision), true},
		{"mod", clientv3.Compare(clientv3.ModRevision(p+"a"), "<", put.Header.Revision), false},
		{"lease", clientv3.Compare(clientv3.LeaseValue(p+"a"), "=", 0), true},
		{"range", clientv3.Compare(clientv3.Version(p), ">", 0).WithPrefix(), true},
		{"missing value", clientv3.Compare(clientv3.Value(p+"none"), "=", ""), false},
		{"missing version", clientv3.Compare(clientv3.Version(p+"none"), "=", 0), true},
		{"exists", clientv3util.KeyExists(p + "a"), true},
		{"is missing", clientv3util.KeyMissing(p + "a"), false},
	}
	for _, tc := range conditions {
		t.Run(tc.name, func(t *testing.T) {
			resp, err := c.Txn(ctx).If(tc.cmp).Then(clientv3.OpGet(p + "a")).Else(clientv3.OpGet(p + "none")).Commit()
			must(t, err)
			got := len(resp.Responses[0].GetResponseRange().Kvs)
			if resp.Succeeded != tc.want || (got == 1) != tc.want {
				t.Errorf("succeeded %v with %d keys, want %v", resp.Succeeded, got, tc.want)
			}
		})
	}
	nested, err := c.Txn(ctx).Then(
		clientv3.OpPut(p+"x", "1"),
		clientv3.OpTxn([]clientv3.Cmp{clientv3.Compare(clientv3.Value(p+"x"), "=", "1")},
			[]clientv3.Op{clientv3.OpPut(p+"y", "2"), clientv3.OpGet(p + "y")}, nil),
		clientv3.OpDelete(p+"a", clientv3.WithPrevKV()),
	).Commit()
	must(t, err)
	inner := nested.Responses[1].GetResponseTxn()
	if inner == nil || inner.Succeeded {
		t.Errorf("the conditions of an inner transaction are met before anything is written: %v", inner)
	}
	if got := nested.Responses[2].GetResponseDeleteRange(); got.Deleted != 1 || string(got.PrevKvs[0].Value) != "5" {
		t.Errorf("delete: %v", got)
	}
}

func TestKVErrors(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	cases := []struct {
		name string
		call func() error
		want error
	}{
		{"empty key", func() error { _, err := c.Put(ctx, "", "v"); return err }, rpctypes.ErrEmptyKey},
		{"ignored value of no key", func() error { _, err := c.Put(ctx, p+"k", "", clientv3.WithIgnoreValue()); return err }, rpctypes.ErrKeyNotFound},
		{"ignored lease of no key", func() error { _, err := c.Put(ctx, p+"k", "v", clientv3.WithIgnoreLease()); return err }, rpctypes.ErrKeyNotFound},
		{"value and ignored value", func() error { _, err := c.Put(ctx, p+"k", "v", clientv3.WithIgnoreValue()); return err }, rpctypes.ErrValueProvided},
		{"no such lease", func() error { _, err := c.Put(ctx, p+"k", "v", clientv3.WithLease(12345)); return err }, rpctypes.ErrLeaseNotFound},
		{"future revision", func() error { _, err := c.Get(ctx, p, clientv3.WithRev(1<<40)); return err }, rpctypes.ErrFutureRev},
		{"future compaction", func() error { _, err := c.Compact(ctx, 1<<40); return err }, rpctypes.ErrFutureRev},
		{"duplicate key", func() error {
			_, err := c.Txn(ctx).Then(clientv3.OpPut(p+"k", "1"), clientv3.OpPut(p+"k", "2")).Commit()
			return err
		}, rpctypes.ErrDuplicateKey},
		{"duplicate key in a deleted range", func() error {
			_, err := c.Txn(ctx).Then(clientv3.OpDelete(p, clientv3.WithPrefix()), clientv3.OpPut(p+"k", "2")).Commit()
			return err
		}, rpctypes.ErrDuplicateKey},
		{"too large", func() error { _, err := c.Put(ctx, p+"k", strings.Repeat("x", 1_700_000)); return err }, rpctypes.ErrRequestTooLarge},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.call(); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	many := make([]clientv3.Op, 129)
	for i := range many {
		many[i] = clientv3.OpGet(p)
	}
	if _, err := c.Txn(ctx).Then(many[:128]...).Commit(); err != nil {
		t.Errorf("128 operations: %v", err)
	}
	if _, err := c.Txn(ctx).Then(many...).Commit(); !errors.Is(err, rpctypes.ErrTooManyOps) {
		t.Errorf("129 operations: %v", err)
	}
}

func TestKVCompaction(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	first, err := c.Put(ctx, p+"k", "1")
	must(t, err)
	second, err := c.Put(ctx, p+"k", "2")
	must(t, err)
	_, err = c.Compact(ctx, second.Header.Revision, clientv3.WithCompactPhysical())
	must(t, err)
	if _, err = c.Get(ctx, p+"k", clientv3.WithRev(first.Header.Revision)); !errors.Is(err, rpctypes.ErrCompacted) {
		t.Errorf("get of a compacted revision: %v", err)
	}
	if _, err = c.Compact(ctx, second.Header.Revision); !errors.Is(err, rpctypes.ErrCompacted) {
		t.Errorf("second compaction of the same revision: %v", err)
	}
	kept, err := c.Get(ctx, p+"k", clientv3.WithRev(second.Header.Revision))
	must(t, err)
	if len(kept.Kvs) != 1 || string(kept.Kvs[0].Value) != "2" {
		t.Errorf("get of the compaction's revision: %v", kept.Kvs)
	}
}

func TestKVDeadline(t *testing.T) {
	c := dial(t)
	ctx, cancel := context.WithTimeout(context.Background(), time.Nanosecond)
	defer cancel()
	<-ctx.Done()
	if _, err := c.Get(ctx, "k"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

func TestKubernetesClient(t *testing.T) {
	ctx, p := bounded(t), prefix(t)
	k, err := kubernetes.New(clientv3.Config{Endpoints: []string{endpoint(t)}})
	must(t, err)
	defer func() { _ = k.Close() }()
	lease, err := k.Client.Grant(ctx, 60)
	must(t, err)
	created, err := k.Kubernetes.OptimisticPut(ctx, p+"pods/1", []byte("one"), 0, kubernetes.PutOptions{LeaseID: lease.ID})
	must(t, err)
	if !created.Succeeded {
		t.Errorf("create did not succeed: %+v", created)
	}
	conflict, err := k.Kubernetes.OptimisticPut(ctx, p+"pods/1", []byte("two"), 0, kubernetes.PutOptions{GetOnFailure: true})
	must(t, err)
	if conflict.Succeeded || string(conflict.KV.Value) != "one" {
		t.Errorf("conflicting create: %+v", conflict)
	}
	_, err = k.Kubernetes.OptimisticPut(ctx, p+"pods/2", []byte("two"), 0, kubernetes.PutOptions{})
	must(t, err)
	page, err := k.Kubernetes.List(ctx, p+"pods/", kubernetes.ListOptions{Limit: 1})
	must(t, err)
	if len(page.Kvs) != 1 || page.Count != 2 {
		t.Errorf("first page: %d of %d", len(page.Kvs), page.Count)
	}
	rest, err := k.Kubernetes.List(ctx, p+"pods/", kubernetes.ListOptions{Continue: string(page.Kvs[0].Key) + "\x00", Revision: page.Revision})
	must(t, err)
	if len(rest.Kvs) != 1 || string(rest.Kvs[0].Value) != "two" {
		t.Errorf("second page: %v", rest.Kvs)
	}
	count, err := k.Kubernetes.Count(ctx, p+"pods/", kubernetes.CountOptions{})
	must(t, err)
	deleted, err := k.Kubernetes.OptimisticDelete(ctx, p+"pods/1", created.Revision, kubernetes.DeleteOptions{})
	must(t, err)
	if count != 2 || !deleted.Succeeded {
		t.Errorf("count %d, deleted %v", count, deleted.Succeeded)
	}
}
