package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kadm"
	"github.com/twmb/franz-go/pkg/kgo"
)

type franzClients struct {
	servers []string
	ctx     context.Context
	admin   *kadm.Client
}

func franz(servers []string) map[string]scenario {
	clients := &franzClients{servers: servers, ctx: context.Background()}
	clients.admin = kadm.NewClient(clients.client())
	return map[string]scenario{
		"record":            clients.record,
		"codecs":            clients.codecs,
		"acks":              clients.acks,
		"offsets":           clients.offsets,
		"commit":            clients.commit,
		"group":             func() (any, error) { return clients.group(kgo.Balancers(kgo.RangeBalancer())) },
		"cooperative":       func() (any, error) { return clients.group(kgo.Balancers(kgo.CooperativeStickyBalancer())) },
		"consumer_protocol": func() (any, error) { return clients.group(kgo.ServerSideBalancer()) },
		"transactions":      clients.transactions,
		"exactly_once":      clients.exactlyOnce,
		"admin":             clients.administration,
	}
}

func (c *franzClients) client(options ...kgo.Opt) *kgo.Client {
	fast := []kgo.Opt{
		kgo.SeedBrokers(c.servers...),
		kgo.MetadataMinAge(20 * time.Millisecond),
		kgo.RetryBackoffFn(func(int) time.Duration { return 20 * time.Millisecond }),
		kgo.FetchMaxWait(100 * time.Millisecond),
	}
	client, err := kgo.NewClient(append(fast, options...)...)
	if err != nil {
		panic(err)
	}
	return client
}

func (c *franzClients) topic(partitions int32) (string, error) {
	topic := unique()
	_, err := c.admin.CreateTopic(c.ctx, partitions, -1, nil, topic)
	return topic, err
}

func (c *franzClients) send(topic string, values []string, options ...kgo.Opt) error {
	producer := c.client(options...)
	defer producer.Close()
	for _, value := range values {
		producer.Produce(c.ctx, &kgo.Record{Topic: topic, Value: []byte(value)}, nil)
	}
	return producer.Flush(c.ctx)
}

func (c *franzClients) read(consumer *kgo.Client, count int) ([]*kgo.Record, error) {
	ctx, cancel := context.WithTimeout(c.ctx, patience)
	defer cancel()
	var found []*kgo.Record
	for len(found) < count {
		fetches := consumer.PollFetches(ctx)
		if err := fetches.Err(); err != nil {
			return nil, fmt.Errorf("%d of %d records: %w", len(found), count, err)
		}
		found = append(found, fetches.Records()...)
	}
	return found, nil
}

func (c *franzClients) all(topic string, count int, isolation kgo.IsolationLevel) ([]string, error) {
	consumer := c.client(kgo.ConsumeTopics(topic), kgo.FetchIsolationLevel(isolation), atStart)
	defer consumer.Close()
	records, err := c.read(consumer, count)
	return texts(records), err
}

var atStart = kgo.ConsumeResetOffset(kgo.NewOffset().AtStart())

func texts(records []*kgo.Record) []string {
	var found []string
	for _, record := range records {
		found = append(found, string(record.Value))
	}
	return found
}

func (c *franzClients) record() (any, error) {
	topic, err := c.topic(1)
	if err != nil {
		return nil, err
	}
	client := c.client(kgo.ConsumeTopics(topic), atStart)
	defer client.Close()
	headers := []kgo.RecordHeader{{Key: "h", Value: []byte("1")}, {Key: "h", Value: []byte("2")}}
	full := &kgo.Record{
		Topic: topic, Key: []byte("k"), Value: []byte("v"), Headers: headers, Timestamp: time.UnixMilli(1_700_000_000_123),
	}
	tombstone := &kgo.Record{Topic: topic, Key: []byte("k"), Timestamp: time.UnixMilli(1_700_000_000_124)}
	for _, record := range []*kgo.Record{full, tombstone} {
		if err := client.ProduceSync(c.ctx, record).FirstErr(); err != nil {
			return nil, err
		}
	}
	records, err := c.read(client, 2)
	var found []any
	for _, record := range records {
		headers := []any{}
		for _, header := range record.Headers {
			headers = append(headers, []string{header.Key, string(header.Value)})
		}
		var value any
		if record.Value != nil {
			value = string(record.Value)
		}
		found = append(found, []any{string(record.Key), value, headers, record.Timestamp.UnixMilli(), record.Offset})
	}
	return found, err
}

func (c *franzClients) roundTrip(options ...kgo.Opt) (int, error) {
	topic, err := c.topic(1)
	if err != nil {
		return 0, err
	}
	if err := c.send(topic, numbers(20), options...); err != nil {
		return 0, err
	}
	values, err := c.all(topic, 20, kgo.ReadUncommitted())
	return len(values), err
}

func (c *franzClients) codecs() (any, error) {
	counts := object{}
	for name, codec := range map[string]kgo.CompressionCodec{
		"none": kgo.NoCompression(), "gzip": kgo.GzipCompression(), "snappy": kgo.SnappyCompression(),
		"lz4": kgo.Lz4Compression(), "zstd": kgo.ZstdCompression(),
	} {
		count, err := c.roundTrip(kgo.ProducerBatchCompression(codec))
		if err != nil {
			return nil, err
		}
		counts[name] = count
	}
	return counts, nil
}

func (c *franzClients) acks() (any, error) {
	counts := object{}
	for name, acks := range map[string]kgo.Acks{"0": kgo.NoAck(), "1": kgo.LeaderAck(), "all": kgo.AllISRAcks()} {
		options := []kgo.Opt{kgo.RequiredAcks(acks)}
		if name != "all" {
			options = append(options, kgo.DisableIdempotentWrite())
		}
		count, err := c.roundTrip(options...)
		if err != nil {
			return nil, err
		}
		counts[name] = count
	}
	return counts, nil
}

func (c *franzClients) offsets() (any, error) {
	topic, err := c.topic(1)
	if err != nil {
		return nil, err
	}
	producer := c.client()
	defer producer.Close()
	for _, moment := range []int64{1000, 2000, 3000} {
		record := &kgo.Record{Topic: topic, Timestamp: time.UnixMilli(moment)}
		if err := producer.ProduceSync(c.ctx, record).FirstErr(); err != nil {
			return nil, err
		}
	}
	latest, err1 := c.admin.ListEndOffsets(c.ctx, topic)
	after, err2 := c.admin.ListOffsetsAfterMilli(c.ctx, 1500, topic)
	var before kadm.Offsets
	before.AddOffset(topic, 0, 1, -1)
	_, err3 := c.admin.DeleteRecords(c.ctx, before)
	earliest, err4 := c.admin.ListStartOffsets(c.ctx, topic)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	return object{
		"latest": latest[topic][0].Offset, "at_1500": after[topic][0].Offset, "earliest": earliest[topic][0].Offset,
	}, nil
}

func (c *franzClients) member(topic, group string, options ...kgo.Opt) *kgo.Client {
	fixed := []kgo.Opt{
		kgo.ConsumeTopics(topic), kgo.ConsumerGroup(group), kgo.DisableAutoCommit(), atStart,
		kgo.HeartbeatInterval(100 * time.Millisecond),
	}
	return c.client(append(fixed, options...)...)
}

func (c *franzClients) commit() (any, error) {
	topic, err := c.topic(1)
	if err != nil {
		return nil, err
	}
	if err := c.send(topic, numbers(4)); err != nil {
		return nil, err
	}
	group := unique()
	first := c.member(topic, group)
	records, err := c.read(first, 4)
	if err == nil {
		err = first.CommitRecords(c.ctx, records[1])
	}
	first.Close()
	if err != nil {
		return nil, err
	}
	second := c.member(topic, group)
	defer second.Close()
	resumed, err := c.read(second, 2)
	if err != nil {
		return nil, err
	}
	committed, err := c.admin.FetchOffsets(c.ctx, group)
	return object{"committed": committed[topic][0].At, "resumed": texts(resumed)}, err
}

// What a member has been assigned, kept from its callbacks and polls in the background.
type assignment struct {
	lock       sync.Mutex
	partitions []int32
}

func (a *assignment) len() int {
	a.lock.Lock()
	defer a.lock.Unlock()
	return len(a.partitions)
}

func (c *franzClients) watched(topic, group string, options ...kgo.Opt) (*kgo.Client, *assignment) {
	found := &assignment{}
	lose := func(_ context.Context, _ *kgo.Client, lost map[string][]int32) {
		found.lock.Lock()
		defer found.lock.Unlock()
		found.partitions = slices.DeleteFunc(found.partitions, func(each int32) bool { return slices.Contains(lost[topic], each) })
	}
	gain := func(_ context.Context, _ *kgo.Client, gained map[string][]int32) {
		found.lock.Lock()
		defer found.lock.Unlock()
		found.partitions = append(found.partitions, gained[topic]...)
	}
	watching := []kgo.Opt{kgo.OnPartitionsAssigned(gain), kgo.OnPartitionsRevoked(lose), kgo.OnPartitionsLost(lose)}
	client := c.member(topic, group, append(watching, options...)...)
	go func() {
		for !client.PollFetches(c.ctx).IsClientClosed() {
		}
	}()
	return client, found
}

func (c *franzClients) group(options ...kgo.Opt) (any, error) {
	topic, err := c.topic(4)
	if err != nil {
		return nil, err
	}
	group := unique()
	client, first := c.watched(topic, group, options...)
	defer client.Close()
	if err := until(func() (bool, error) { return first.len() == 4, nil }); err != nil {
		return nil, err
	}
	other, second := c.watched(topic, group, options...)
	if err := until(func() (bool, error) { return first.len() == 2 && second.len() == 2, nil }); err != nil {
		return nil, err
	}
	union := slices.Concat(first.partitions, second.partitions)
	slices.Sort(union)
	shared := len(slices.Compact(union))
	members := 0
	if described, err := c.admin.DescribeGroups(c.ctx, group); err == nil && len(described[group].Members) > 0 {
		members = len(described[group].Members)
	} else if described, err := c.admin.DescribeConsumerGroups(c.ctx, group); err == nil {
		members = len(described[group].Members)
	}
	other.Close()
	if err := until(func() (bool, error) { return first.len() == 4, nil }); err != nil {
		return nil, err
	}
	return object{"shared": shared, "members": members, "alone": first.len()}, nil
}

func (c *franzClients) transactions() (any, error) {
	topic, err := c.topic(1)
	if err != nil {
		return nil, err
	}
	producer := c.client(kgo.TransactionalID(unique()))
	defer producer.Close()
	for number := range 3 {
		if err := producer.BeginTransaction(); err != nil {
			return nil, err
		}
		record := &kgo.Record{Topic: topic, Value: []byte(strconv.Itoa(number))}
		if err := producer.ProduceSync(c.ctx, record).FirstErr(); err != nil {
			return nil, err
		}
		if err := producer.EndTransaction(c.ctx, kgo.TransactionEndTry(number != 1)); err != nil {
			return nil, err
		}
	}
	committed, err1 := c.all(topic, 2, kgo.ReadCommitted())
	everything, err2 := c.all(topic, 3, kgo.ReadUncommitted())
	return object{"committed": committed, "all": everything}, errors.Join(err1, err2)
}

func (c *franzClients) exactlyOnce() (any, error) {
	source, err1 := c.topic(1)
	sink, err2 := c.topic(1)
	group, id := unique(), unique()
	if err := errors.Join(err1, err2, c.send(source, numbers(4))); err != nil {
		return nil, err
	}
	for _, end := range []kgo.TransactionEndTry{kgo.TryAbort, kgo.TryCommit} {
		if err := c.process(source, sink, group, id, end); err != nil {
			return nil, err
		}
	}
	results, err1 := c.all(sink, 4, kgo.ReadCommitted())
	committed, err2 := c.admin.FetchOffsets(c.ctx, group)
	return object{"sink": results, "committed": committed[source][0].At}, errors.Join(err1, err2)
}

func (c *franzClients) process(source, sink, group, id string, end kgo.TransactionEndTry) error {
	session, err := kgo.NewGroupTransactSession(
		kgo.SeedBrokers(c.servers...), kgo.TransactionalID(id), kgo.ConsumeTopics(source), kgo.ConsumerGroup(group),
		kgo.FetchIsolationLevel(kgo.ReadCommitted()), kgo.RequireStableFetchOffsets(), atStart,
	)
	if err != nil {
		return err
	}
	defer session.Close()
	records, err := c.read(session.Client(), 4)
	if err != nil {
		return err
	}
	if err := session.Begin(); err != nil {
		return err
	}
	for _, record := range records {
		doubled := &kgo.Record{Topic: sink, Value: slices.Concat(record.Value, record.Value)}
		if err := session.ProduceSync(c.ctx, doubled).FirstErr(); err != nil {
			return err
		}
	}
	committed, err := session.End(c.ctx, end)
	if err == nil && committed != bool(end) {
		return fmt.Errorf("committed: %v", committed)
	}
	return err
}

func (c *franzClients) administration() (any, error) {
	topic, err := c.topic(1)
	if err != nil {
		return nil, err
	}
	brokers, err := c.admin.ListBrokers(c.ctx)
	if err != nil {
		return nil, err
	}
	ids := brokers.NodeIDs()
	slices.Sort(ids)
	if _, err := c.admin.UpdatePartitions(c.ctx, 3, topic); err != nil {
		return nil, err
	}
	partitions := func() (int, error) {
		topics, err := c.admin.ListTopics(c.ctx, topic)
		return len(topics[topic].Partitions), err
	}
	if err := until(func() (bool, error) { count, err := partitions(); return count == 3, err }); err != nil {
		return nil, err
	}
	value := "70000"
	if _, err := c.admin.AlterTopicConfigs(c.ctx, []kadm.AlterConfig{{Name: "retention.ms", Value: &value}}, topic); err != nil {
		return nil, err
	}
	configs, err := c.admin.DescribeTopicConfigs(c.ctx, topic)
	if err != nil {
		return nil, err
	}
	retention := ""
	for _, config := range configs[0].Configs {
		if config.Key == "retention.ms" {
			retention = config.MaybeValue()
		}
	}
	group := unique()
	var zero kadm.Offsets
	zero.AddOffset(topic, 0, 0, -1)
	if err := c.admin.CommitAllOffsets(c.ctx, group, zero); err != nil {
		return nil, err
	}
	groups, err1 := c.admin.ListGroups(c.ctx)
	described, err2 := c.admin.DescribeGroups(c.ctx, group)
	_, err3 := c.admin.DeleteGroup(c.ctx, group)
	_, err4 := c.admin.DeleteTopics(c.ctx, topic)
	if err := errors.Join(err1, err2, err3, err4); err != nil {
		return nil, err
	}
	_, listed := groups[group]
	deleted := until(func() (bool, error) { topics, err := c.admin.ListTopics(c.ctx); return !topics.Has(topic), err })
	return object{
		"brokers": ids, "partitions": 3, "retention": retention, "group": described[group].State,
		"listed": listed, "deleted": deleted == nil,
	}, deleted
}
