// Command grpc-proxy-client uses etcd's Go client at an endpoint: one line "ok CASE" for each
// case that passed. After "halfway", the test kills a member.
package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"time"

	"go.etcd.io/etcd/api/v3/v3rpc/rpctypes"
	clientv3 "go.etcd.io/etcd/client/v3"
	"go.etcd.io/etcd/client/v3/concurrency"
	"go.uber.org/zap"
)

type testCase struct {
	name string
	run  func(context.Context, *clientv3.Client) error
}

var cases = []testCase{
	{"kv", kv}, {"errors", typedErrors}, {"txn", txn}, {"stm", stm}, {"watch", watch},
	{"lease", lease}, {"lock", lock}, {"election", election}, {"maintenance", maintenance},
	{"deadline", deadline}, {"large", large}, {"resume", resume},
}

func main() {
	client, err := clientv3.New(clientv3.Config{
		Endpoints:   []string{os.Args[1]},
		DialTimeout: 5 * time.Second,
		Logger:      zap.NewNop(),
	})
	if err != nil {
		fail("connect", err)
	}
	for _, c := range cases {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		if err := c.run(ctx, client); err != nil {
			fail(c.name, err)
		}
		cancel()
		fmt.Println("ok", c.name)
	}
	client.Close()
}

func fail(name string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", name, err)
	os.Exit(1)
}

func kv(ctx context.Context, c *clientv3.Client) error {
	for i := 0; i < 20; i++ {
		if _, err := c.Put(ctx, fmt.Sprintf("go/kv/%02d", i), strconv.Itoa(i)); err != nil {
			return err
		}
	}
	got, err := c.Get(ctx, "go/kv/", clientv3.WithPrefix(), clientv3.WithLimit(5))
	if err != nil || len(got.Kvs) != 5 || got.Count != 20 || !got.More {
		return fmt.Errorf("get returned %v, %w", got, err)
	}
	deleted, err := c.Delete(ctx, "go/kv/", clientv3.WithPrefix(), clientv3.WithPrevKV())
	if err != nil || deleted.Deleted != 20 || len(deleted.PrevKvs) != 20 {
		return fmt.Errorf("delete returned %v, %w", deleted, err)
	}
	return nil
}

// typedErrors expects the client to make its own errors of etcd's codes and messages.
func typedErrors(ctx context.Context, c *clientv3.Client) error {
	put, err := c.Put(ctx, "go/errors", "1")
	if err != nil {
		return err
	}
	if _, err = c.Put(ctx, "", ""); !errors.Is(err, rpctypes.ErrEmptyKey) {
		return fmt.Errorf("an empty key: %w", err)
	}
	_, err = c.Get(ctx, "go/errors", clientv3.WithRev(put.Header.Revision+1000))
	if !errors.Is(err, rpctypes.ErrFutureRev) {
		return fmt.Errorf("a future revision: %w", err)
	}
	if _, err = c.Revoke(ctx, 99); !errors.Is(err, rpctypes.ErrLeaseNotFound) {
		return fmt.Errorf("an unknown lease: %w", err)
	}
	_, err = c.Authenticate(ctx, "none", "none")
	if !errors.Is(err, rpctypes.ErrAuthNotEnabled) {
		return fmt.Errorf("authentication that is off: %w", err)
	}
	return nil
}

func txn(ctx context.Context, c *clientv3.Client) error {
	absent := clientv3.Compare(clientv3.CreateRevision("go/txn"), "=", 0)
	for _, want := range []bool{true, false} {
		done, err := c.Txn(ctx).If(absent).Then(clientv3.OpPut("go/txn", "1")).
			Else(clientv3.OpGet("go/txn")).Commit()
		if err != nil || done.Succeeded != want {
			return fmt.Errorf("txn returned %v, %w", done, err)
		}
	}
	_, err := c.Delete(ctx, "go/txn")
	return err
}

func stm(_ context.Context, c *clientv3.Client) error {
	results := make(chan error, 10)
	for i := 0; i < 10; i++ {
		go func() {
			_, err := concurrency.NewSTM(c, func(s concurrency.STM) error {
				n, _ := strconv.Atoi(s.Get("go/stm"))
				s.Put("go/stm", strconv.Itoa(n+1))
				return nil
			})
			results <- err
		}()
	}
	for i := 0; i < 10; i++ {
		if err := <-results; err != nil {
			return err
		}
	}
	got, err := c.Get(context.Background(), "go/stm")
	if err != nil || string(got.Kvs[0].Value) != "10" {
		return fmt.Errorf("the sum is %v, %w", got, err)
	}
	_, err = c.Delete(context.Background(), "go/stm")
	return err
}

func watch(ctx context.Context, c *clientv3.Client) error {
	ctx, cancel := context.WithCancel(clientv3.WithRequireLeader(ctx))
	defer cancel()
	events := c.Watch(ctx, "go/watch", clientv3.WithPrevKV(), clientv3.WithCreatedNotify())
	if created := <-events; !created.Created {
		return fmt.Errorf("not created: %v", created)
	}
	for i := 0; i < 10; i++ {
		if _, err := c.Put(ctx, "go/watch", strconv.Itoa(i)); err != nil {
			return err
		}
		got := <-events
		if len(got.Events) != 1 || string(got.Events[0].Kv.Value) != strconv.Itoa(i) {
			return fmt.Errorf("event %d is %v", i, got)
		}
	}
	if err := c.RequestProgress(ctx); err != nil {
		return err
	}
	select {
	case got := <-events:
		if !got.IsProgressNotify() {
			return fmt.Errorf("not a progress answer: %v", got)
		}
	case <-time.After(10 * time.Second):
		return errors.New("no progress answer")
	}
	return nil
}

func lease(ctx context.Context, c *clientv3.Client) error {
	granted, err := c.Grant(ctx, 2)
	if err != nil {
		return err
	}
	if _, err = c.Put(ctx, "go/lease", "", clientv3.WithLease(granted.ID)); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	answers, err := c.KeepAlive(ctx, granted.ID)
	if err != nil {
		return err
	}
	// The client renews every 2/3 s, so the lease has outlived its TTL then.
	for i := 0; i < 5; i++ {
		if answer := <-answers; answer == nil || answer.TTL != 2 {
			return fmt.Errorf("keepalive %d is %v", i, answer)
		}
	}
	if once, err := c.KeepAliveOnce(ctx, granted.ID); err != nil || once.TTL != 2 {
		return fmt.Errorf("one keepalive is %v, %w", once, err)
	}
	if _, err = c.Revoke(ctx, granted.ID); err != nil {
		return err
	}
	got, err := c.Get(ctx, "go/lease")
	if err != nil || got.Count != 0 {
		return fmt.Errorf("the key is still there: %v, %w", got, err)
	}
	return nil
}

func lock(ctx context.Context, c *clientv3.Client) error {
	held := 0
	results := make(chan error, 4)
	for i := 0; i < 4; i++ {
		go func() {
			session, err := concurrency.NewSession(c)
			if err != nil {
				results <- err
				return
			}
			defer session.Close()
			mutex := concurrency.NewMutex(session, "go/lock")
			if err = mutex.Lock(ctx); err == nil {
				if held++; held != 1 {
					err = fmt.Errorf("%d hold the lock", held)
				}
				time.Sleep(20 * time.Millisecond)
				held--
				if unlocked := mutex.Unlock(ctx); err == nil {
					err = unlocked
				}
			}
			results <- err
		}()
	}
	for i := 0; i < 4; i++ {
		if err := <-results; err != nil {
			return err
		}
	}
	return nil
}

func election(ctx context.Context, c *clientv3.Client) error {
	session, err := concurrency.NewSession(c)
	if err != nil {
		return err
	}
	defer session.Close()
	candidate := concurrency.NewElection(session, "go/election")
	if err = candidate.Campaign(ctx, "one"); err != nil {
		return err
	}
	observed := candidate.Observe(ctx)
	if got := <-observed; string(got.Kvs[0].Value) != "one" {
		return fmt.Errorf("observed %v", got)
	}
	if err = candidate.Proclaim(ctx, "two"); err != nil {
		return err
	}
	if got := <-observed; string(got.Kvs[0].Value) != "two" {
		return fmt.Errorf("observed %v", got)
	}
	return candidate.Resign(ctx)
}

func maintenance(ctx context.Context, c *clientv3.Client) error {
	members, err := c.MemberList(ctx)
	if err != nil || len(members.Members) != 3 || members.Header == nil {
		return fmt.Errorf("member list returned %v, %w", members, err)
	}
	snapshot, err := c.Snapshot(ctx)
	if err != nil {
		return err
	}
	defer snapshot.Close()
	n, err := io.Copy(io.Discard, snapshot)
	if err != nil || n%512 != 32 {
		return fmt.Errorf("a snapshot of %d bytes, %w", n, err)
	}
	_, err = c.Status(ctx, c.Endpoints()[0])
	return err
}

func deadline(ctx context.Context, c *clientv3.Client) error {
	short, cancel := context.WithTimeout(ctx, 50*time.Millisecond)
	defer cancel()
	session, err := concurrency.NewSession(c)
	if err != nil {
		return err
	}
	defer session.Close()
	other, err := concurrency.NewSession(c)
	if err != nil {
		return err
	}
	defer other.Close()
	if err = concurrency.NewMutex(session, "go/deadline").Lock(ctx); err != nil {
		return err
	}
	err = concurrency.NewMutex(other, "go/deadline").Lock(short)
	if !errors.Is(err, context.DeadlineExceeded) {
		return fmt.Errorf("the second lock: %w", err)
	}
	return nil
}

func large(ctx context.Context, c *clientv3.Client) error {
	value := bytes.Repeat([]byte("v"), 1_400_000)
	for i := 0; i < 5; i++ {
		if _, err := c.Put(ctx, fmt.Sprint("go/large/", i), string(value)); err != nil {
			return err
		}
	}
	got, err := c.Get(ctx, "go/large/", clientv3.WithPrefix())
	if err != nil || len(got.Kvs) != 5 || !bytes.Equal(got.Kvs[4].Value, value) {
		return fmt.Errorf("got %d, %w", got.Count, err)
	}
	_, err = c.Delete(ctx, "go/large/", clientv3.WithPrefix())
	return err
}

// resume puts values while a member dies, and expects a watch to see them in order. The test
// puts the key "stop" once the member is dead.
func resume(ctx context.Context, c *clientv3.Client) error {
	events := c.Watch(ctx, "go/resume")
	last := make(chan int, 1)
	go func() {
		stop := 1 << 30
		for i := 0; i <= stop && ctx.Err() == nil; i++ {
			if i == 20 {
				fmt.Println("halfway")
			}
			// Until one is acknowledged; one that failed may be stored as well.
			for ctx.Err() == nil {
				if _, err := c.Put(ctx, "go/resume", strconv.Itoa(i)); err == nil {
					break
				}
				time.Sleep(10 * time.Millisecond)
			}
			got, err := c.Get(ctx, "stop")
			if err == nil && got.Count == 1 && stop == 1<<30 {
				stop = i + 50
				last <- stop
			}
		}
	}()
	next, end := 0, -1
	for end < 0 || next <= end {
		select {
		case end = <-last:
			continue
		case got, isOpen := <-events:
			if !isOpen || got.Err() != nil {
				return fmt.Errorf("the watch ended at %d: %w", next, got.Err())
			}
			for _, event := range got.Events {
				switch n, _ := strconv.Atoi(string(event.Kv.Value)); n {
				case next:
					next++
				case next - 1:
				default:
					return fmt.Errorf("%d came instead of %d", n, next)
				}
			}
		}
	}
	return nil
}
