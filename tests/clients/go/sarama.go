package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"github.com/IBM/sarama"
)

type ibmClients struct {
	servers []string
	client  sarama.Client
	admin   sarama.ClusterAdmin
}

func ibm(servers []string) map[string]scenario {
	clients := &ibmClients{servers: servers}
	var err error
	if clients.client, err = sarama.NewClient(servers, config()); err != nil {
		panic(err)
	}
	if clients.admin, err = sarama.NewClusterAdminFromClient(clients.client); err != nil {
		panic(err)
	}
	return map[string]scenario{
		"record":       clients.record,
		"codecs":       clients.codecs,
		"acks":         clients.acks,
		"offsets":      clients.offsets,
		"commit":       clients.commit,
		"group":        clients.group,
		"transactions": clients.transactions,
		"exactly_once": clients.exactlyOnce,
		"admin":        clients.administration,
	}
}

func config() *sarama.Config {
	config := sarama.NewConfig()
	config.Version = sarama.V3_6_0_0
	config.Producer.Return.Successes = true
	config.Producer.RequiredAcks = sarama.WaitForAll
	config.Producer.Partitioner = sarama.NewManualPartitioner
	config.Metadata.Retry.Backoff = 20 * time.Millisecond
	config.Consumer.MaxWaitTime = 100 * time.Millisecond
	config.Consumer.Offsets.Initial = sarama.OffsetOldest
	config.Consumer.Offsets.AutoCommit.Enable = false
	config.Consumer.Group.Heartbeat.Interval = 100 * time.Millisecond
	config.Consumer.Group.Rebalance.Retry.Backoff = 20 * time.Millisecond
	return config
}

func (c *ibmClients) topic(partitions int32) (string, error) {
	topic := unique()
	if err := c.admin.CreateTopic(topic, &sarama.TopicDetail{NumPartitions: partitions, ReplicationFactor: -1}, false); err != nil {
		return "", err
	}
	return topic, until(func() (bool, error) {
		err := c.client.RefreshMetadata(topic)
		if errors.Is(err, sarama.ErrUnknownTopicOrPartition) {
			return false, nil
		}
		return err == nil, err
	})
}

func (c *ibmClients) send(topic string, messages []*sarama.ProducerMessage, change func(*sarama.Config)) error {
	settings := config()
	if change != nil {
		change(settings)
	}
	producer, err := sarama.NewSyncProducer(c.servers, settings)
	if err != nil {
		return err
	}
	defer producer.Close()
	return producer.SendMessages(messages)
}

func messages(topic string, values []string) []*sarama.ProducerMessage {
	var found []*sarama.ProducerMessage
	for _, value := range values {
		found = append(found, &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder(value)})
	}
	return found
}

func (c *ibmClients) read(topic string, count int, isolation sarama.IsolationLevel) ([]*sarama.ConsumerMessage, error) {
	settings := config()
	settings.Consumer.IsolationLevel = isolation
	consumer, err := sarama.NewConsumer(c.servers, settings)
	if err != nil {
		return nil, err
	}
	defer consumer.Close()
	partition, err := consumer.ConsumePartition(topic, 0, sarama.OffsetOldest)
	if err != nil {
		return nil, err
	}
	defer partition.Close()
	return taken(partition.Messages(), count)
}

func taken(source <-chan *sarama.ConsumerMessage, count int) ([]*sarama.ConsumerMessage, error) {
	var found []*sarama.ConsumerMessage
	end := time.After(patience)
	for len(found) < count {
		select {
		case message := <-source:
			found = append(found, message)
		case <-end:
			return nil, fmt.Errorf("%d of %d records after %v", len(found), count, patience)
		}
	}
	return found, nil
}

func texted(messages []*sarama.ConsumerMessage) []string {
	var found []string
	for _, message := range messages {
		found = append(found, string(message.Value))
	}
	return found
}

func (c *ibmClients) record() (any, error) {
	topic, err := c.topic(1)
	if err != nil {
		return nil, err
	}
	key := sarama.StringEncoder("k")
	headers := []sarama.RecordHeader{{Key: []byte("h"), Value: []byte("1")}, {Key: []byte("h"), Value: []byte("2")}}
	full := &sarama.ProducerMessage{
		Topic: topic, Key: key, Value: sarama.StringEncoder("v"), Headers: headers, Timestamp: time.UnixMilli(1_700_000_000_123),
	}
	tombstone := &sarama.ProducerMessage{Topic: topic, Key: key, Timestamp: time.UnixMilli(1_700_000_000_124)}
	if err := c.send(topic, []*sarama.ProducerMessage{full, tombstone}, nil); err != nil {
		return nil, err
	}
	records, err := c.read(topic, 2, sarama.ReadUncommitted)
	var found []any
	for _, record := range records {
		headers := []any{}
		for _, header := range record.Headers {
			headers = append(headers, []string{string(header.Key), string(header.Value)})
		}
		var value any
		if record.Value != nil {
			value = string(record.Value)
		}
		found = append(found, []any{string(record.Key), value, headers, record.Timestamp.UnixMilli(), record.Offset})
	}
	return found, err
}

func (c *ibmClients) roundTrip(change func(*sarama.Config)) (int, error) {
	topic, err := c.topic(1)
	if err != nil {
		return 0, err
	}
	if err := c.send(topic, messages(topic, numbers(20)), change); err != nil {
		return 0, err
	}
	records, err := c.read(topic, 20, sarama.ReadUncommitted)
	return len(records), err
}

func (c *ibmClients) codecs() (any, error) {
	counts := object{}
	for name, codec := range map[string]sarama.CompressionCodec{
		"none": sarama.CompressionNone, "gzip": sarama.CompressionGZIP, "snappy": sarama.CompressionSnappy,
		"lz4": sarama.CompressionLZ4, "zstd": sarama.CompressionZSTD,
	} {
		count, err := c.roundTrip(func(config *sarama.Config) { config.Producer.Compression = codec })
		if err != nil {
			return nil, err
		}
		counts[name] = count
	}
	return counts, nil
}

func (c *ibmClients) acks() (any, error) {
	counts := object{}
	for name, acks := range map[string]sarama.RequiredAcks{
		"0": sarama.NoResponse, "1": sarama.WaitForLocal, "all": sarama.WaitForAll,
	} {
		count, err := c.roundTrip(func(config *sarama.Config) { config.Producer.RequiredAcks = acks })
		if err != nil {
			return nil, err
		}
		counts[name] = count
	}
	return counts, nil
}

func (c *ibmClients) offsets() (any, error) {
	topic, err := c.topic(1)
	if err != nil {
		return nil, err
	}
	var sent []*sarama.ProducerMessage
	for _, moment := range []int64{1000, 2000, 3000} {
		sent = append(sent, &sarama.ProducerMessage{Topic: topic, Value: sarama.StringEncoder("-"), Timestamp: time.UnixMilli(moment)})
	}
	err1 := c.send(topic, sent, nil)
	latest, err2 := c.client.GetOffset(topic, 0, sarama.OffsetNewest)
	after, err3 := c.client.GetOffset(topic, 0, 1500)
	err4 := c.admin.DeleteRecords(topic, map[int32]int64{0: 1})
	earliest, err5 := c.client.GetOffset(topic, 0, sarama.OffsetOldest)
	return object{"latest": latest, "at_1500": after, "earliest": earliest}, errors.Join(err1, err2, err3, err4, err5)
}

// A member of a group: hands on what it reads, and knows its partitions.
type member struct {
	lock       sync.Mutex
	partitions []int32
	messages   chan *sarama.ConsumerMessage
	session    sarama.ConsumerGroupSession
	group      sarama.ConsumerGroup
	stop       context.CancelFunc
	stopped    chan struct{}
}

func (c *ibmClients) member(topic, name string) (*member, error) {
	group, err := sarama.NewConsumerGroup(c.servers, name, config())
	if err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancel(context.Background())
	made := &member{messages: make(chan *sarama.ConsumerMessage), group: group, stop: stop, stopped: make(chan struct{})}
	go func() {
		defer close(made.stopped)
		for ctx.Err() == nil {
			if err := group.Consume(ctx, []string{topic}, made); err != nil {
				return
			}
		}
	}()
	return made, nil
}

func (m *member) Setup(session sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.session = session
	for _, partitions := range session.Claims() {
		m.partitions = slices.Clone(partitions)
	}
	return nil
}

func (m *member) Cleanup(sarama.ConsumerGroupSession) error {
	m.lock.Lock()
	defer m.lock.Unlock()
	m.partitions = nil
	return nil
}

func (m *member) ConsumeClaim(session sarama.ConsumerGroupSession, claim sarama.ConsumerGroupClaim) error {
	for {
		select {
		case message, more := <-claim.Messages():
			if !more {
				return nil
			}
			select {
			case m.messages <- message:
			case <-session.Context().Done():
				return nil
			}
		case <-session.Context().Done():
			return nil
		}
	}
}

func (m *member) assigned() []int32 {
	m.lock.Lock()
	defer m.lock.Unlock()
	return slices.Clone(m.partitions)
}

func (m *member) close() error {
	m.stop()
	<-m.stopped
	return m.group.Close()
}

func (c *ibmClients) commit() (any, error) {
	topic, err := c.topic(1)
	if err != nil {
		return nil, err
	}
	if err := c.send(topic, messages(topic, numbers(4)), nil); err != nil {
		return nil, err
	}
	group := unique()
	first, err := c.member(topic, group)
	if err != nil {
		return nil, err
	}
	if _, err := taken(first.messages, 4); err != nil {
		return nil, err
	}
	first.session.MarkOffset(topic, 0, 2, "seen two")
	first.session.Commit()
	if err := first.close(); err != nil {
		return nil, err
	}
	second, err := c.member(topic, group)
	if err != nil {
		return nil, err
	}
	resumed, err1 := taken(second.messages, 2)
	err2 := second.close()
	offsets, err3 := c.admin.ListConsumerGroupOffsets(group, map[string][]int32{topic: {0}})
	if err := errors.Join(err1, err2, err3); err != nil {
		return nil, err
	}
	committed := offsets.GetBlock(topic, 0)
	return object{"committed": committed.Offset, "metadata": committed.Metadata, "resumed": texted(resumed)}, nil
}

func (c *ibmClients) group() (any, error) {
	topic, err := c.topic(4)
	if err != nil {
		return nil, err
	}
	name := unique()
	first, err := c.member(topic, name)
	if err != nil {
		return nil, err
	}
	if err := until(func() (bool, error) { return len(first.assigned()) == 4, nil }); err != nil {
		return nil, err
	}
	second, err := c.member(topic, name)
	if err != nil {
		return nil, err
	}
	both := func() (bool, error) { return len(first.assigned()) == 2 && len(second.assigned()) == 2, nil }
	if err := until(both); err != nil {
		return nil, err
	}
	union := slices.Concat(first.assigned(), second.assigned())
	slices.Sort(union)
	shared := len(slices.Compact(union))
	described, err1 := c.admin.DescribeConsumerGroups([]string{name})
	err2 := second.close()
	err3 := until(func() (bool, error) { return len(first.assigned()) == 4, nil })
	alone := len(first.assigned())
	if err := errors.Join(err1, err2, err3, first.close()); err != nil {
		return nil, err
	}
	return object{"shared": shared, "members": len(described[0].Members), "alone": alone}, nil
}

func (c *ibmClients) transactional() (sarama.SyncProducer, error) {
	settings := config()
	settings.Producer.Idempotent = true
	settings.Producer.Transaction.ID = unique()
	settings.Net.MaxOpenRequests = 1
	return sarama.NewSyncProducer(c.servers, settings)
}

func (c *ibmClients) transactions() (any, error) {
	topic, err := c.topic(1)
	if err != nil {
		return nil, err
	}
	producer, err := c.transactional()
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	for number := range 3 {
		err1 := producer.BeginTxn()
		err2 := producer.SendMessages(messages(topic, []string{strconv.Itoa(number)}))
		end := producer.CommitTxn
		if number == 1 {
			end = producer.AbortTxn
		}
		if err := errors.Join(err1, err2, end()); err != nil {
			return nil, err
		}
	}
	committed, err1 := c.read(topic, 2, sarama.ReadCommitted)
	everything, err2 := c.read(topic, 3, sarama.ReadUncommitted)
	return object{"committed": texted(committed), "all": texted(everything)}, errors.Join(err1, err2)
}

func (c *ibmClients) exactlyOnce() (any, error) {
	source, err1 := c.topic(1)
	sink, err2 := c.topic(1)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	if err := c.send(source, messages(source, numbers(4)), nil); err != nil {
		return nil, err
	}
	group := unique()
	producer, err := c.transactional()
	if err != nil {
		return nil, err
	}
	defer producer.Close()
	for _, commit := range []bool{false, true} {
		if err := c.process(producer, source, sink, group, commit); err != nil {
			return nil, err
		}
	}
	results, err1 := c.read(sink, 4, sarama.ReadCommitted)
	offsets, err2 := c.admin.ListConsumerGroupOffsets(group, map[string][]int32{source: {0}})
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	return object{"sink": texted(results), "committed": offsets.GetBlock(source, 0).Offset}, nil
}

func (c *ibmClients) process(producer sarama.SyncProducer, source, sink, group string, commit bool) error {
	reader, err := c.member(source, group)
	if err != nil {
		return err
	}
	count := map[bool]int{false: 4, true: 2}[commit]
	records, err := taken(reader.messages, count)
	if err != nil {
		return err
	}
	for _, record := range records {
		value := string(record.Value)
		err1 := producer.BeginTxn()
		err2 := producer.SendMessages(messages(sink, []string{value + value}))
		err3 := producer.AddMessageToTxn(record, group, nil)
		if err := errors.Join(err1, err2, err3); err != nil {
			return err
		}
		if record.Offset == 2 && !commit {
			return errors.Join(producer.AbortTxn(), reader.close())
		}
		if err := producer.CommitTxn(); err != nil {
			return err
		}
	}
	return reader.close()
}

func (c *ibmClients) administration() (any, error) {
	topic, err := c.topic(1)
	if err != nil {
		return nil, err
	}
	brokers, _, err := c.admin.DescribeCluster()
	if err != nil {
		return nil, err
	}
	var ids []int32
	for _, broker := range brokers {
		ids = append(ids, broker.ID())
	}
	slices.Sort(ids)
	if err := c.admin.CreatePartitions(topic, 3, nil, false); err != nil {
		return nil, err
	}
	partitions := func() (bool, error) {
		topics, err := c.admin.DescribeTopics([]string{topic})
		return err == nil && len(topics[0].Partitions) == 3, err
	}
	if err := until(partitions); err != nil {
		return nil, err
	}
	value := "70000"
	change := map[string]sarama.IncrementalAlterConfigsEntry{
		"retention.ms": {Operation: sarama.IncrementalAlterConfigsOperationSet, Value: &value},
	}
	err1 := c.admin.IncrementalAlterConfig(sarama.TopicResource, topic, change, false)
	resource := sarama.ConfigResource{Type: sarama.TopicResource, Name: topic, ConfigNames: []string{"retention.ms"}}
	configs, err2 := c.admin.DescribeConfig(resource)
	if err := errors.Join(err1, err2); err != nil {
		return nil, err
	}
	name := unique()
	reader, err := c.member(topic, name)
	if err != nil {
		return nil, err
	}
	err1 = until(func() (bool, error) { return len(reader.assigned()) == 3, nil })
	reader.session.MarkOffset(topic, 0, 1, "")
	reader.session.Commit()
	err2 = reader.close()
	groups, err3 := c.admin.ListConsumerGroups()
	described, err4 := c.admin.DescribeConsumerGroups([]string{name})
	err5 := c.admin.DeleteConsumerGroup(name)
	err6 := c.admin.DeleteTopic(topic)
	if err := errors.Join(err1, err2, err3, err4, err5, err6); err != nil {
		return nil, err
	}
	_, listed := groups[name]
	deleted := until(func() (bool, error) {
		topics, err := c.admin.ListTopics()
		_, there := topics[topic]
		return !there, err
	})
	return object{
		"brokers": ids, "partitions": 3, "retention": configs[0].Value, "group": described[0].State,
		"listed": listed, "deleted": deleted == nil,
	}, deleted
}
