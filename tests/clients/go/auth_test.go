package clients_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.uber.org/zap"
	"google.golang.org/grpc/status"
)

const rootPassword = "root's"

// TestAuth turns authentication on, which everybody else would notice: it runs only when STELE_CLIENT_AUTH says that
// the server is its own. That is the life time of the server's tokens, such as "2s", or "0s" where it is not known.
func TestAuth(t *testing.T) {
	setting := os.Getenv("STELE_CLIENT_AUTH")
	if setting == "" {
		t.Skip("STELE_CLIENT_AUTH does not say that the server is ours")
	}
	tokenTTL, err := time.ParseDuration(setting)
	must(t, err)
	open := dial(t)
	if _, err := open.AuthStatus(bounded(t)); isUnimplemented(err) {
		t.Skip("the server has no authentication yet")
	}
	p := prefix(t)
	enableAuth(t, open, p)
	root := dialAs(t, "root", rootPassword)
	t.Cleanup(func() {
		if _, err := root.AuthDisable(context.Background()); err != nil {
			t.Errorf("disable: %v", err)
		}
		removeUsers(t, open)
	})
	t.Run("permissions", func(t *testing.T) { authPermissions(t, p) })
	t.Run("errors", func(t *testing.T) { authErrors(t, open, root) })
	t.Run("token expiry", func(t *testing.T) { authTokenExpiry(t, p, tokenTTL) })
	t.Run("token after a change of the password", func(t *testing.T) { authPasswordChange(t, root, p) })
	t.Run("watch", func(t *testing.T) { authWatch(t, p) })
	t.Run("lease", func(t *testing.T) { authLease(t, root, p) })
}

func dialAs(t *testing.T, user, password string) *clientv3.Client {
	t.Helper()
	return dial(t, func(cfg *clientv3.Config) { cfg.Username, cfg.Password = user, password })
}

// enableAuth makes root, and alice, who may read and write what begins with p+"alice/" and read p+"shared".
func enableAuth(t *testing.T, c *clientv3.Client, p string) {
	t.Helper()
	ctx := bounded(t)
	_, err := c.AuthEnable(ctx)
	if !errors.Is(err, rpctypes.ErrRootUserNotExist) {
		t.Errorf("enable without root: %v", err)
	}
	_, err = c.UserAdd(ctx, "root", rootPassword)
	must(t, err)
	_, err = c.UserGrantRole(ctx, "root", "root")
	must(t, err)
	_, err = c.RoleAdd(ctx, "staff")
	must(t, err)
	_, err = c.RoleGrantPermission(ctx, "staff", p+"alice/", clientv3.GetPrefixRangeEnd(p+"alice/"), clientv3.PermissionType(clientv3.PermReadWrite))
	must(t, err)
	_, err = c.RoleGrantPermission(ctx, "staff", p+"shared", "", clientv3.PermissionType(clientv3.PermRead))
	must(t, err)
	for _, user := range []string{"alice", "bob"} {
		_, err = c.UserAdd(ctx, user, user+"'s")
		must(t, err)
		_, err = c.UserGrantRole(ctx, user, "staff")
		must(t, err)
	}
	_, err = c.UserAddWithOptions(ctx, "certificate", "", &clientv3.UserAddOptions{NoPassword: true})
	must(t, err)
	_, err = c.AuthEnable(ctx)
	must(t, err)
}

// removeUsers leaves the server as enableAuth found it.
func removeUsers(t *testing.T, c *clientv3.Client) {
	t.Helper()
	ctx := bounded(t)
	for _, user := range []string{"root", "alice", "bob", "certificate"} {
		_, err := c.UserDelete(ctx, user)
		must(t, err)
	}
	_, err := c.RoleDelete(ctx, "staff") // There is no role root: its name is enough.
	must(t, err)
}

func authPermissions(t *testing.T, p string) {
	c, ctx := dialAs(t, "alice", "alice's"), bounded(t)
	denied := rpctypes.ErrPermissionDenied
	txn := func(cmp, then, otherwise string) func() error {
		return func() error {
			_, err := c.Txn(ctx).If(clientv3.Compare(clientv3.Version(cmp), "=", 0)).
				Then(clientv3.OpPut(then, "v")).Else(clientv3.OpGet(otherwise)).Commit()
			return err
		}
	}
	get := func(key string, opts ...clientv3.OpOption) func() error {
		return func() error { _, err := c.Get(ctx, key, opts...); return err }
	}
	put := func(key string, opts ...clientv3.OpOption) func() error {
		return func() error { _, err := c.Put(ctx, key, "v", opts...); return err }
	}
	cases := []struct {
		name string
		call func() error
		want error
	}{
		{"put of her own", put(p + "alice/k"), nil},
		{"get of her own", get(p + "alice/k"), nil},
		{"range of her own", get(p+"alice/", clientv3.WithPrefix()), nil},
		{"range beyond her own", get(p+"alice/", clientv3.WithFromKey()), denied},
		{"get of what is shared", get(p + "shared"), nil},
		{"put of what is shared", put(p + "shared"), denied},
		{"put that reads", put(p+"shared", clientv3.WithPrevKV()), denied},
		{"delete of all", func() error { _, err := c.Delete(ctx, p, clientv3.WithPrefix()); return err }, denied},
		{"transaction", txn(p+"shared", p+"alice/k", p+"shared"), nil},
		{"transaction that compares too much", txn(p+"other", p+"alice/k", p+"shared"), denied},
		{"transaction that writes too much", txn(p+"shared", p+"shared", p+"shared"), denied},
		{"transaction that would read too much", txn(p+"shared", p+"alice/k", p+"other"), denied},
		{"user administration", func() error { _, err := c.UserAdd(ctx, "eve", "e"); return err }, denied},
		{"user list", func() error { _, err := c.UserList(ctx); return err }, denied},
		{"herself", func() error { _, err := c.UserGet(ctx, "alice"); return err }, nil},
		{"another user", func() error { _, err := c.UserGet(ctx, "bob"); return err }, denied},
		{"her role", func() error { _, err := c.RoleGet(ctx, "staff"); return err }, nil},
		{"another role", func() error { _, err := c.RoleGet(ctx, "root"); return err }, denied},
		{"member list", func() error { _, err := c.MemberList(ctx); return err }, nil},
		{"status", func() error { _, err := c.Status(ctx, endpoint(t)); return err }, nil},
		{"defragmentation", func() error { _, err := c.Defragment(ctx, endpoint(t)); return err }, denied},
		{"hash", func() error { _, err := c.HashKV(ctx, endpoint(t), 0); return err }, denied},
		{"alarm list", func() error { _, err := c.AlarmList(ctx); return err }, nil},
		{"compaction", func() error { _, err := c.Compact(ctx, 1); return err }, denied},
	}
	for _, tc := range cases {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.call(); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
}

func authErrors(t *testing.T, open, root *clientv3.Client) {
	ctx := bounded(t)
	if _, err := open.Get(ctx, "k"); !errors.Is(err, rpctypes.ErrUserEmpty) {
		t.Errorf("get by nobody: %v", err)
	}
	if _, err := open.Put(ctx, "k", "v"); !errors.Is(err, rpctypes.ErrUserEmpty) {
		t.Errorf("put by nobody: %v", err)
	}
	wrong, err := clientv3.New(clientv3.Config{Endpoints: []string{endpoint(t)}, Username: "root", Password: "wrong", DialTimeout: patience, Logger: zap.NewNop()})
	if !errors.Is(err, rpctypes.ErrAuthFailed) {
		t.Errorf("wrong password: %v", err)
	}
	if err == nil {
		_ = wrong.Close()
	}
	refusals := []struct {
		name string
		call func() error
		want error
	}{
		{"user twice", func() error { _, err := root.UserAdd(ctx, "alice", "x"); return err }, rpctypes.ErrUserAlreadyExist},
		{"no such user", func() error { _, err := root.UserGet(ctx, "nobody"); return err }, rpctypes.ErrUserNotFound},
		{"no such user to delete", func() error { _, err := root.UserDelete(ctx, "nobody"); return err }, rpctypes.ErrUserNotFound},
		{"no such user's password", func() error { _, err := root.UserChangePassword(ctx, "nobody", "x"); return err }, rpctypes.ErrUserNotFound},
		{"role twice", func() error { _, err := root.RoleAdd(ctx, "staff"); return err }, rpctypes.ErrRoleAlreadyExist},
		{"role without a name", func() error { _, err := root.RoleAdd(ctx, ""); return err }, rpctypes.ErrRoleEmpty},
		{"no such role", func() error { _, err := root.RoleGet(ctx, "none"); return err }, rpctypes.ErrRoleNotFound},
		{"no such role to grant", func() error { _, err := root.UserGrantRole(ctx, "alice", "none"); return err }, rpctypes.ErrRoleNotFound},
		{"role that was not granted", func() error { _, err := root.UserRevokeRole(ctx, "certificate", "staff"); return err }, rpctypes.ErrRoleNotGranted},
		{"permission that was not granted", func() error { _, err := root.RoleRevokePermission(ctx, "staff", "none", ""); return err }, rpctypes.ErrPermissionNotGranted},
		{"deleting root", func() error { _, err := root.UserDelete(ctx, "root"); return err }, rpctypes.ErrInvalidAuthMgmt},
		{"taking root's role", func() error { _, err := root.UserRevokeRole(ctx, "root", "root"); return err }, rpctypes.ErrInvalidAuthMgmt},
	}
	for _, tc := range refusals {
		t.Run(tc.name, func(t *testing.T) {
			if err := tc.call(); !errors.Is(err, tc.want) {
				t.Errorf("got %v, want %v", err, tc.want)
			}
		})
	}
	if _, err = root.Authenticate(ctx, "certificate", "x"); status.Convert(err).Message() != "auth: authentication failed, password was given for no password user" {
		t.Errorf("a password where there is none: %v", err)
	}
}

// authTokenExpiry lets a token expire: the client gets another one by itself.
func authTokenExpiry(t *testing.T, p string, tokenTTL time.Duration) {
	if tokenTTL == 0 {
		t.Skip("STELE_CLIENT_AUTH does not say how long tokens live")
	}
	c, ctx := dialAs(t, "alice", "alice's"), bounded(t)
	_, err := c.Put(ctx, p+"alice/k", "1")
	must(t, err)
	time.Sleep(tokenTTL + 1500*time.Millisecond) // The server looks for old tokens once in a second.
	_, err = c.Put(ctx, p+"alice/k", "2")
	must(t, err)
}

// authPasswordChange makes alice's token invalid: with the old password she cannot get another one.
func authPasswordChange(t *testing.T, root *clientv3.Client, p string) {
	c, ctx := dialAs(t, "bob", "bob's"), bounded(t)
	_, err := c.Put(ctx, p+"alice/k", "1")
	must(t, err)
	_, err = root.UserChangePassword(ctx, "bob", "new")
	must(t, err)
	if _, err = c.Put(ctx, p+"alice/k", "2"); !errors.Is(err, rpctypes.ErrAuthFailed) {
		t.Errorf("put after the password's change: %v", err)
	}
	_, err = dialAs(t, "bob", "new").Put(ctx, p+"alice/k", "2")
	must(t, err)
}

func authWatch(t *testing.T, p string) {
	c, ctx := dialAs(t, "alice", "alice's"), bounded(t)
	allowed := c.Watch(ctx, p+"alice/", clientv3.WithPrefix(), clientv3.WithCreatedNotify())
	receive(t, "created", allowed)
	_, err := c.Put(ctx, p+"alice/w", "v")
	must(t, err)
	if got := describe(events(t, allowed, 1), p); got != "PUT alice/w=v" {
		t.Errorf("watched %s", got)
	}
	refused := receive(t, "refusal", c.Watch(ctx, p, clientv3.WithPrefix()))
	if !refused.Canceled || !strings.HasSuffix(refused.Err().Error(), "etcdserver: permission denied") {
		t.Errorf("watch of too much: %v", refused.Err())
	}
}

// authLease asks for a lease whose keys alice may not write.
func authLease(t *testing.T, root *clientv3.Client, p string) {
	c, ctx := dialAs(t, "alice", "alice's"), bounded(t)
	lease, err := c.Grant(ctx, 60)
	must(t, err)
	_, err = c.Put(ctx, p+"alice/leased", "v", clientv3.WithLease(lease.ID))
	must(t, err)
	_, err = c.KeepAliveOnce(ctx, lease.ID)
	must(t, err)
	_, err = root.Put(ctx, p+"other", "v", clientv3.WithLease(lease.ID))
	must(t, err)
	if _, err = c.TimeToLive(ctx, lease.ID, clientv3.WithAttachedKeys()); !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("time to live: %v", err)
	}
	if _, err = c.Revoke(ctx, lease.ID); !errors.Is(err, rpctypes.ErrPermissionDenied) {
		t.Errorf("revoke: %v", err)
	}
	_, err = root.Revoke(ctx, lease.ID)
	must(t, err)
}
