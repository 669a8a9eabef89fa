// Writes message requests to an ingest topic:
//
//	go run . -bootstrap localhost:9092 -registry http://localhost:8081 -topic ingest.p1 -count 10
package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/hamba/avro/v2"
	"github.com/twmb/franz-go/pkg/kgo"
)

type registered struct {
	ID     int    `json:"id"`
	Schema string `json:"schema"`
}

// latest reads the schema of a topic's values. It registers nothing: that is the operator's.
func latest(registry, topic string) (registered, error) {
	var answer registered
	client := http.Client{Timeout: 10 * time.Second}
	address := strings.TrimRight(registry, "/") + "/subjects/" + url.PathEscape(topic+"-value") + "/versions/latest"
	response, err := client.Get(address)
	if err != nil {
		return answer, err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return answer, fmt.Errorf("%s: %s", address, response.Status)
	}
	return answer, json.NewDecoder(response.Body).Decode(&answer)
}

// encode writes Confluent's wire format: a zero byte, the schema id (4 bytes, big-endian), the record.
func encode(id int, schema avro.Schema, record map[string]any) ([]byte, error) {
	body, err := avro.Marshal(schema, record)
	if err != nil {
		return nil, err
	}
	frame := make([]byte, 5, 5+len(body))
	binary.BigEndian.PutUint32(frame[1:], uint32(id))
	return append(frame, body...), nil
}

func main() {
	bootstrap := flag.String("bootstrap", "localhost:9092", "brokers, comma-separated")
	registry := flag.String("registry", "http://localhost:8081", "base URL of the Confluent API")
	topic := flag.String("topic", "ingest.p1", "the lane: ingest.p0 (most urgent) .. ingest.p3 (bulk)")
	count := flag.Int("count", 10, "messages")
	flag.Parse()

	answer, err := latest(*registry, *topic)
	if err != nil {
		log.Fatal(err)
	}
	schema := avro.MustParse(answer.Schema)

	// franz-go is idempotent with acks=all by default, and its default partitioner hashes keys with murmur2 as Java does.
	client, err := kgo.NewClient(
		kgo.SeedBrokers(strings.Split(*bootstrap, ",")...),
		kgo.RequiredAcks(kgo.AllISRAcks()),
		kgo.RecordPartitioner(kgo.StickyKeyPartitioner(nil)),
	)
	if err != nil {
		log.Fatal(err)
	}
	defer client.Close()

	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for i := range *count {
		user := fmt.Sprintf("user-%d", i)
		value, err := encode(answer.ID, schema, map[string]any{
			"messageId":      uuid.Must(uuid.NewV7()).String(),
			"tenantId":       "acme",
			"businessLine":   "promotions",
			"attribute":      "marketing",
			"idempotencyKey": nil,
			"campaignId":     nil,
			"recipient": map[string]any{
				"userId": user, "phone": fmt.Sprintf("+86138%08d", i), "email": nil, "openId": nil,
				"pushTokens": []string{}, "tier": nil,
			},
			"templateId":    "welcome",
			"params":        map[string]string{"name": fmt.Sprintf("guest %d", i)},
			"channels":      []string{},
			"units":         nil,
			"maxCostMicros": nil,
			"currency":      nil,
			"locale":        nil,
			"timeZone":      nil,
			"createdAt":     time.Now().UTC(),
			"notBefore":     nil,
			"expiresAt":     nil,
			"labels":        map[string]string{"producer": "go"},
		})
		if err != nil {
			log.Fatal(err)
		}
		// The recipient as key keeps one person's messages in order.
		record := &kgo.Record{Topic: *topic, Key: []byte(user), Value: value}
		if err := client.ProduceSync(ctx, record).FirstErr(); err != nil {
			log.Fatal(err)
		}
		fmt.Printf("{\"key\":%q,\"partition\":%d,\"offset\":%d}\n", user, record.Partition, record.Offset)
	}
}
