// Runs scenarios with franz-go or sarama: arguments are the library, bootstrap servers and names of scenarios;
// prints a scenario's name to its outcome as JSON.
package main

import (
	"crypto/rand"
	"encoding/json"
	"fmt"
	"os"
	"strconv"
	"strings"
	"time"
)

const patience = 20 * time.Second

type scenario func() (any, error)

type object = map[string]any

func main() {
	servers := strings.Split(os.Args[2], ",")
	scenarios := map[string]func([]string) map[string]scenario{"franz": franz, "sarama": ibm}[os.Args[1]](servers)
	outcomes := make([]string, 0, len(os.Args))
	for _, name := range os.Args[3:] {
		found, err := scenarios[name]()
		if err != nil {
			found = object{"error": err.Error()}
		}
		text, err := json.Marshal(found)
		if err != nil {
			panic(err)
		}
		outcomes = append(outcomes, fmt.Sprintf("%q:%s", name, text))
	}
	fmt.Println("{" + strings.Join(outcomes, ",") + "}")
}

func unique() string {
	return "go-" + rand.Text()
}

func numbers(count int) []string {
	values := make([]string, count)
	for number := range values {
		values[number] = strconv.Itoa(number)
	}
	return values
}

func until(condition func() (bool, error)) error {
	for end := time.Now().Add(patience); time.Now().Before(end); time.Sleep(10 * time.Millisecond) {
		if so, err := condition(); so || err != nil {
			return err
		}
	}
	return fmt.Errorf("not so after %v", patience)
}
