package clients_test

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"sync/atomic"
	"testing"

	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	recipe "go.etcd.io/etcd/client/v3/experimental/recipes"
)

func newSession(t *testing.T, c *clientv3.Client) *concurrency.Session {
	t.Helper()
	session, err := concurrency.NewSession(c, concurrency.WithTTL(30))
	must(t, err)
	t.Cleanup(func() { _ = session.Close() })
	return session
}

func TestMutex(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	var holders, entered atomic.Int32
	var all sync.WaitGroup
	for range 5 {
		session := newSession(t, c)
		all.Go(func() {
			mutex := concurrency.NewMutex(session, p+"lock")
			for range 4 {
				if err := mutex.Lock(ctx); err != nil {
					t.Errorf("lock: %v", err)
					return
				}
				if holders.Add(1) != 1 {
					t.Error("two holders")
				}
				entered.Add(1)
				holders.Add(-1)
				if err := mutex.Unlock(ctx); err != nil {
					t.Errorf("unlock: %v", err)
				}
			}
		})
	}
	all.Wait()
	if entered.Load() != 20 {
		t.Errorf("entered %d times", entered.Load())
	}
}

func TestMutexTryLockAndOwner(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	first := concurrency.NewMutex(newSession(t, c), p+"lock")
	second := concurrency.NewMutex(newSession(t, c), p+"lock")
	must(t, first.TryLock(ctx))
	if err := second.TryLock(ctx); !errors.Is(err, concurrency.ErrLocked) {
		t.Errorf("second try: %v", err)
	}
	guarded, err := c.Txn(ctx).If(first.IsOwner()).Then(clientv3.OpPut(p+"guarded", "v")).Commit()
	must(t, err)
	if !guarded.Succeeded {
		t.Error("the owner's transaction failed")
	}
	must(t, first.Unlock(ctx))
	must(t, second.TryLock(ctx))
	if err = first.Unlock(ctx); !errors.Is(err, concurrency.ErrLockReleased) {
		t.Errorf("second unlock: %v", err)
	}
}

// TestMutexSessionEnds has a waiting locker whose predecessor's lease is revoked.
func TestMutexSessionEnds(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	holder, waiter := newSession(t, c), newSession(t, c)
	must(t, concurrency.NewMutex(holder, p+"lock").Lock(ctx))
	locked := make(chan error, 1)
	go func() { locked <- concurrency.NewMutex(waiter, p+"lock").Lock(ctx) }()
	must(t, holder.Close())
	must(t, receive(t, "lock", locked))
	receiveClosed(t, holder.Done())
}

func receiveClosed(t *testing.T, done <-chan struct{}) {
	t.Helper()
	select {
	case <-done:
	case <-bounded(t).Done():
		t.Fatal("not done")
	}
}

func TestElection(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	first := concurrency.NewElection(newSession(t, c), p+"e")
	second := concurrency.NewElection(newSession(t, c), p+"e")
	if _, err := first.Leader(ctx); !errors.Is(err, concurrency.ErrElectionNoLeader) {
		t.Errorf("leader of nobody: %v", err)
	}
	watching, stop := context.WithCancel(ctx)
	defer stop()
	observed := second.Observe(watching)
	must(t, first.Campaign(ctx, "one"))
	expectLeader(t, observed, "one")
	must(t, first.Proclaim(ctx, "one again"))
	expectLeader(t, observed, "one again")
	won := make(chan error, 1)
	go func() { won <- second.Campaign(ctx, "two") }()
	must(t, first.Resign(ctx))
	must(t, receive(t, "campaign", won))
	expectLeader(t, observed, "two")
	leader, err := first.Leader(ctx)
	must(t, err)
	if string(leader.Kvs[0].Value) != "two" || string(leader.Kvs[0].Key) != second.Key() || leader.Kvs[0].CreateRevision != second.Rev() {
		t.Errorf("leader %v", leader.Kvs[0])
	}
	if err = first.Proclaim(ctx, "no"); !errors.Is(err, concurrency.ErrElectionNotLeader) {
		t.Errorf("proclaim after resigning: %v", err)
	}
	resumed := concurrency.ResumeElection(newSession(t, c), p+"e", second.Key(), second.Rev())
	must(t, resumed.Proclaim(ctx, "three"))
	expectLeader(t, observed, "three")
}

func expectLeader(t *testing.T, observed <-chan *clientv3.GetResponse, value string) {
	t.Helper()
	resp := receive(t, "observe", observed)
	if got := string(resp.Kvs[0].Value); got != value {
		t.Errorf("observed %q, want %q", got, value)
	}
}

// TestSTM moves money between accounts from many sides at once: none is made or lost.
func TestSTM(t *testing.T) {
	levels := map[string]concurrency.Isolation{
		"serializable snapshot": concurrency.SerializableSnapshot,
		"serializable":          concurrency.Serializable,
		"repeatable reads":      concurrency.RepeatableReads,
	}
	for name, level := range levels {
		t.Run(name, func(t *testing.T) {
			c, ctx, p := dial(t), bounded(t), prefix(t)
			const accounts, workers, transfers = 4, 4, 10
			for i := range accounts {
				_, err := c.Put(ctx, p+strconv.Itoa(i), "100")
				must(t, err)
			}
			var all sync.WaitGroup
			for worker := range workers {
				all.Go(func() {
					for i := range transfers {
						from, to := (worker+i)%accounts, (worker+i+1+i%2)%accounts
						_, err := concurrency.NewSTM(c, transfer(p+strconv.Itoa(from), p+strconv.Itoa(to)),
							concurrency.WithIsolation(level), concurrency.WithAbortContext(ctx))
						if err != nil {
							t.Errorf("transfer: %v", err)
						}
					}
				})
			}
			all.Wait()
			balance, err := c.Get(ctx, p, clientv3.WithPrefix())
			must(t, err)
			sum := 0
			for _, kv := range balance.Kvs {
				n, err := strconv.Atoi(string(kv.Value))
				must(t, err)
				sum += n
			}
			if sum != accounts*100 {
				t.Errorf("sum %d", sum)
			}
		})
	}
}

func transfer(from, to string) func(concurrency.STM) error {
	return func(stm concurrency.STM) error {
		have, err := strconv.Atoi(stm.Get(from))
		if err != nil {
			return err
		}
		other, err := strconv.Atoi(stm.Get(to))
		if err != nil {
			return err
		}
		stm.Put(from, strconv.Itoa(have-1))
		stm.Put(to, strconv.Itoa(other+1))
		return nil
	}
}

// TestSTMReadCommitted writes without conflicts, sees its own writes, deletes and may be told to give up.
func TestSTMReadCommitted(t *testing.T) {
	c, ctx, p := dial(t), bounded(t), prefix(t)
	_, err := c.Put(ctx, p+"old", "v")
	must(t, err)
	resp, err := concurrency.NewSTM(c, func(stm concurrency.STM) error {
		stm.Put(p+"new", stm.Get(p+"old")+"!")
		stm.Del(p + "old")
		if got := stm.Get(p + "new"); got != "v!" {
			return fmt.Errorf("own write reads %q", got)
		}
		return nil
	}, concurrency.WithIsolation(concurrency.ReadCommitted), concurrency.WithPrefetch(p+"old"))
	must(t, err)
	if !resp.Succeeded {
		t.Error("not committed")
	}
	left, err := c.Get(ctx, p, clientv3.WithPrefix())
	must(t, err)
	if len(left.Kvs) != 1 || string(left.Kvs[0].Value) != "v!" {
		t.Errorf("left %v", left.Kvs)
	}
	refusal := errors.New("refused")
	if _, err = concurrency.NewSTM(c, func(concurrency.STM) error { return refusal }); !errors.Is(err, refusal) {
		t.Errorf("refused transaction: %v", err)
	}
}

func TestRecipeRWMutex(t *testing.T) {
	c, p := dial(t), prefix(t)
	reader1 := recipe.NewRWMutex(newSession(t, c), p+"rw")
	reader2 := recipe.NewRWMutex(newSession(t, c), p+"rw")
	writer := recipe.NewRWMutex(newSession(t, c), p+"rw")
	must(t, reader1.RLock())
	must(t, reader2.RLock())
	var released atomic.Bool
	written := make(chan error, 1)
	go func() {
		err := writer.Lock()
		if err == nil && !released.Load() {
			err = errors.New("the writer came in while there was a reader")
		}
		written <- err
	}()
	must(t, reader1.RUnlock())
	released.Store(true)
	must(t, reader2.RUnlock())
	must(t, receive(t, "writer", written))
	must(t, writer.Unlock())
}

func TestRecipeQueues(t *testing.T) {
	c, p := dial(t), prefix(t)
	queue := recipe.NewQueue(c, p+"q")
	for i := range 5 {
		must(t, queue.Enqueue(fmt.Sprint(i)))
	}
	for i := range 5 {
		got, err := queue.Dequeue()
		must(t, err)
		if got != fmt.Sprint(i) {
			t.Errorf("dequeued %q, want %d", got, i)
		}
	}
	late := make(chan string, 1)
	go func() {
		got, _ := recipe.NewQueue(c, p+"late").Dequeue()
		late <- got
	}()
	must(t, recipe.NewQueue(c, p+"late").Enqueue("at last"))
	if got := receive(t, "dequeue", late); got != "at last" {
		t.Errorf("dequeued %q", got)
	}
	priority := recipe.NewPriorityQueue(c, p+"pq")
	for _, level := range []uint16{7, 3, 5} {
		must(t, priority.Enqueue(fmt.Sprint(level), level))
	}
	for _, want := range []string{"3", "5", "7"} {
		got, err := priority.Dequeue()
		must(t, err)
		if got != want {
			t.Errorf("dequeued %q, want %q", got, want)
		}
	}
}

func TestRecipeBarriers(t *testing.T) {
	c, p := dial(t), prefix(t)
	barrier := recipe.NewBarrier(c, p+"b")
	must(t, barrier.Hold())
	passed := make(chan error, 1)
	go func() { passed <- recipe.NewBarrier(c, p+"b").Wait() }()
	must(t, barrier.Release())
	must(t, receive(t, "barrier", passed))
	both := make(chan error, 2)
	for range 2 {
		session := newSession(t, c)
		go func() {
			double := recipe.NewDoubleBarrier(session, p+"db", 2)
			if err := double.Enter(); err != nil {
				both <- err
				return
			}
			both <- double.Leave()
		}()
	}
	must(t, receive(t, "double barrier", both))
	must(t, receive(t, "double barrier", both))
}
