package clients_test

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"regexp"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/etcdserverpb"
	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/snapshot"
	"go.uber.org/zap"
	"google.golang.org/grpc/codes"
	"google.golang.org/grpc/status"
)

func TestMaintenance(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	put, err := c.Put(ctx, p+"k", "v")
	must(t, err)
	state, err := c.Status(ctx, endpoint(t))
	must(t, err)
	if state.Leader == 0 || state.Leader != state.Header.MemberId || state.IsLearner || len(state.Errors) != 0 ||
		state.DbSize < state.DbSizeInUse || state.DbSizeInUse <= 0 || state.RaftTerm == 0 || state.RaftIndex < state.RaftAppliedIndex ||
		!regexp.MustCompile(`^3\.\d+\.\d+$`).MatchString(state.Version) || state.DbSizeQuota <= 0 ||
		state.Header.Revision < put.Header.Revision {
		t.Errorf("status: %v", state)
	}
	hash, err := c.HashKV(ctx, endpoint(t), put.Header.Revision)
	must(t, err)
	again, err := c.HashKV(ctx, endpoint(t), put.Header.Revision)
	must(t, err)
	if hash.Hash != again.Hash || hash.HashRevision != put.Header.Revision {
		t.Errorf("hash: %v, then %v", hash, again)
	}
	if _, err = c.HashKV(ctx, endpoint(t), 1<<40); !errors.Is(err, rpctypes.ErrFutureRev) {
		t.Errorf("hash of the future: %v", err)
	}
	_, err = c.Defragment(ctx, endpoint(t))
	must(t, err)
	if _, err = c.MoveLeader(ctx, 12345); !errors.Is(err, rpctypes.ErrBadLeaderTransferee) {
		t.Errorf("move leader: %v", err)
	}
	// With nothing to cancel, etcd logs a warning and answers with its cluster's version.
	cancelled, err := c.Downgrade(ctx, clientv3.DowngradeCancel, "")
	if err != nil || !regexp.MustCompile(`^3\.\d+$`).MatchString(cancelled.Version) {
		t.Errorf("cancelled downgrade: %v, %v", cancelled, err)
	}
	if _, err = c.Downgrade(ctx, clientv3.DowngradeValidate, "3.1"); !errors.Is(err, rpctypes.ErrInvalidDowngradeTargetVersion) {
		t.Errorf("validated downgrade: %v", err)
	}
	if _, err = c.Downgrade(ctx, clientv3.DowngradeValidate, "bad"); !errors.Is(err, rpctypes.ErrWrongDowngradeVersionFormat) {
		t.Errorf("downgrade to no version: %v", err)
	}
}

// TestMaintenanceAlarm raises NOSPACE as a client may, sees it refuse writes, and disarms it.
func TestMaintenanceAlarm(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	state, err := c.Status(ctx, endpoint(t))
	must(t, err)
	raw := etcdserverpb.NewMaintenanceClient(c.ActiveConnection())
	_, err = raw.Alarm(ctx, &etcdserverpb.AlarmRequest{
		Action: etcdserverpb.AlarmRequest_ACTIVATE, MemberID: state.Header.MemberId, Alarm: etcdserverpb.AlarmType_NOSPACE,
	})
	must(t, err)
	_, putErr := c.Put(ctx, p+"k", "v")
	_, deleteErr := c.Delete(ctx, p+"k")
	list, err := c.AlarmList(ctx)
	must(t, err)
	disarmed, err := c.AlarmDisarm(ctx, &clientv3.AlarmMember{})
	must(t, err)
	if !errors.Is(putErr, rpctypes.ErrNoSpace) || deleteErr != nil {
		t.Errorf("put: %v; delete: %v", putErr, deleteErr)
	}
	if len(list.Alarms) != 1 || list.Alarms[0].Alarm != etcdserverpb.AlarmType_NOSPACE || len(disarmed.Alarms) != 1 {
		t.Errorf("alarms: %v; disarmed: %v", list.Alarms, disarmed.Alarms)
	}
	_, err = c.Put(ctx, p+"k", "v")
	must(t, err)
}

func TestSnapshot(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	_, err := c.Put(ctx, p+"k", "v")
	must(t, err)
	whole, err := c.SnapshotWithVersion(ctx)
	must(t, err)
	size, err := io.Copy(io.Discard, whole.Snapshot)
	must(t, err)
	must(t, whole.Snapshot.Close())
	if size%512 != 32 || whole.Version == "" {
		t.Errorf("%d bytes of version %q", size, whole.Version)
	}
	path := filepath.Join(t.TempDir(), "snapshot.db")
	version, err := snapshot.SaveWithVersion(ctx, zap.NewNop(), clientv3.Config{Endpoints: []string{endpoint(t)}}, path)
	must(t, err)
	info, err := os.Stat(path)
	must(t, err)
	if version != whole.Version || info.Size() != size {
		t.Errorf("saved %d bytes of version %q", info.Size(), version)
	}
}

func TestCluster(t *testing.T) {
	c, ctx := dial(t), bounded(t)
	list, err := c.MemberList(ctx)
	must(t, err)
	if len(list.Members) != 1 || list.Members[0].ID != list.Header.MemberId || len(list.Members[0].ClientURLs) == 0 || list.Members[0].IsLearner {
		t.Errorf("members: %v", list.Members)
	}
	self := list.Members[0]
	must(t, c.Sync(ctx))
	if got := c.Endpoints(); len(got) != len(self.ClientURLs) || got[0] != self.ClientURLs[0] {
		t.Errorf("endpoints after Sync: %v, want %v", got, self.ClientURLs)
	}
	_, err = c.Get(ctx, "after sync")
	must(t, err)
	if _, err = c.MemberRemove(ctx, 12345); !errors.Is(err, rpctypes.ErrMemberNotFound) {
		t.Errorf("removal of nobody: %v", err)
	}
	if _, err = c.MemberPromote(ctx, 12345); !errors.Is(err, rpctypes.ErrMemberNotFound) {
		t.Errorf("promotion of nobody: %v", err)
	}
	if _, err = c.MemberPromote(ctx, self.ID); !errors.Is(err, rpctypes.ErrMemberNotLearner) {
		t.Errorf("promotion of the leader: %v", err)
	}
	if _, err = c.MemberUpdate(ctx, 12345, []string{"http://127.0.0.1:1"}); !errors.Is(err, rpctypes.ErrMemberNotFound) {
		t.Errorf("update of nobody: %v", err)
	}
	raw := etcdserverpb.NewClusterClient(c.ActiveConnection())
	_, err = raw.MemberAdd(ctx, &etcdserverpb.MemberAddRequest{PeerURLs: []string{"not a URL"}})
	if !errors.Is(rpctypes.Error(err), rpctypes.ErrMemberBadURLs) {
		t.Errorf("bad URL: %v", err)
	}
	if _, err = c.MemberUpdate(ctx, self.ID, self.PeerURLs); err != nil {
		t.Errorf("update to what it is: %v", err)
	}
}

// TestRetry cuts the connection under reads: the client repeats them, and none fails.
func TestRetry(t *testing.T) {
	between := startProxy(t)
	c := dial(t, func(cfg *clientv3.Config) { cfg.Endpoints = []string{between.address()} })
	ctx, p := bounded(t), prefix(t)
	_, err := c.Put(ctx, p+"k", "v")
	must(t, err)
	for i := range 60 {
		if i%20 == 10 {
			between.cut()
		}
		_, err := c.Get(ctx, p+"k")
		must(t, err)
	}
	between.setDeaf(true)
	between.cut()
	short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancel()
	if _, err = c.Put(short, p+"k", "w"); err == nil {
		t.Error("a write to nobody succeeded")
	}
	between.setDeaf(false)
	got, err := c.Get(ctx, p+"k")
	must(t, err)
	if string(got.Kvs[0].Value) != "v" {
		t.Errorf("read %q", got.Kvs[0].Value)
	}
}

func TestRejectOldCluster(t *testing.T) {
	c := dial(t, func(cfg *clientv3.Config) { cfg.RejectOldCluster = true })
	_, err := c.Get(bounded(t), "k")
	must(t, err)
}

// TestRestart keeps a lease and a watch over a restart of the server. STELE_CLIENT_RESTART is a URL that restarts it
// when it is posted to, and answers when that is done.
func TestRestart(t *testing.T) {
	url := os.Getenv("STELE_CLIENT_RESTART")
	if url == "" {
		t.Skip("STELE_CLIENT_RESTART names nothing that restarts the server")
	}
	c, ctx, p := dial(t), bounded(t), prefix(t)
	lease, err := c.Grant(ctx, 15)
	must(t, err)
	renewals, err := c.KeepAlive(ctx, lease.ID)
	must(t, err)
	receive(t, "renewal", renewals)
	_, err = c.Put(ctx, p+"held", "v", clientv3.WithLease(lease.ID))
	must(t, err)
	watch := c.Watch(ctx, p+"k", clientv3.WithCreatedNotify())
	receive(t, "created", watch)
	_, err = c.Put(ctx, p+"k", "before")
	must(t, err)
	resp, err := http.Post(url, "", nil)
	must(t, err)
	must(t, resp.Body.Close())
	if resp.StatusCode != http.StatusOK {
		t.Fatalf("restart: %s", resp.Status)
	}
	putThrough(t, c, p+"k", "after")
	if got := describe(events(t, watch, 2), p); got != "PUT k=before, PUT k=after" {
		t.Errorf("watched %s", got)
	}
	renewed, err := c.KeepAliveOnce(ctx, lease.ID)
	must(t, err)
	held, err := c.Get(ctx, p+"held")
	must(t, err)
	if renewed.TTL != 15 || len(held.Kvs) != 1 || held.Kvs[0].Lease != int64(lease.ID) {
		t.Errorf("after the restart: TTL %d, held %v", renewed.TTL, held.Kvs)
	}
}

// putThrough writes as soon as the server is there again: a client does not repeat a write by itself.
func putThrough(t *testing.T, c *clientv3.Client, key, value string) {
	t.Helper()
	ctx := bounded(t)
	for {
		_, err := c.Put(ctx, key, value)
		if err == nil {
			return
		}
		if status.Code(err) != codes.Unavailable {
			t.Fatal(fmt.Errorf("put after the restart: %w", err))
		}
	}
}
