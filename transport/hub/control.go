package hub

import (
	"encoding/json"
	"fmt"
	"strings"

	"github.com/lensward/lensward/transport/seal"
)

// A device's topics are lensward/1/DEVICE/ and one of these.
const (
	topicRecord = "record"
	topicItem   = "item"
	topicWant   = "want"
	topicStatus = "status"
	topicAnswer = "answer"
	topicDown   = "down"
)

// upTopics are those that a device publishes to.
func upTopics() []string {
	return []string{topicRecord, topicItem, topicWant, topicStatus, topicAnswer}
}

// Limits on what devices send, in bytes.
const (
	maxControl    = 4 << 10
	maxItem       = 128 << 10
	maxConditions = 32
	maxWord       = 64
)

// subjectOf is a topic in NATS' spelling, as its MQTT layer translates it.
func subjectOf(device seal.ID, topic string) string {
	return "lensward.1." + device.String() + "." + topic
}

// subjectOfAny is a topic of whatever device.
func subjectOfAny(topic string) string { return "lensward.1.*." + topic }

// parseSubject reads what subjectOf writes.
func parseSubject(s string) (seal.ID, string, error) {
	f := strings.Split(s, ".")
	if len(f) != 4 || f[0] != "lensward" || f[1] != "1" {
		return seal.ID{}, "", fmt.Errorf("subject %.128q is not a device's", s)
	}
	id, err := seal.ParseID(f[2])
	if err != nil {
		return seal.ID{}, "", fmt.Errorf("subject %.128q: %w", s, err)
	}
	return id, f[3], nil
}

// want asks for an upload grant.
type want struct {
	Ref  seal.Ref  `json:"ref"`
	Hash seal.Hash `json:"hash"`
	Size int64     `json:"size"`
}

func parseWant(b []byte) (want, error) {
	var w want
	if err := parseControl(b, &w); err != nil {
		return want{}, fmt.Errorf("read want: %w", err)
	}
	if w.Ref.Device.IsZero() || w.Ref.Epoch == 0 || w.Ref.Chain == 0 || w.Ref.Seq == 0 || w.Hash.IsZero() || w.Size <= 0 {
		return want{}, fmt.Errorf("read want: ref, hash or size is missing")
	}
	return w, nil
}

// status says whether a device is there.
type status struct {
	Online     bool     `json:"online"`
	Firmware   string   `json:"firmware"`
	Conditions []string `json:"conditions"`
}

func parseStatus(b []byte) (status, error) {
	var s status
	if err := parseControl(b, &s); err != nil {
		return status{}, fmt.Errorf("read status: %w", err)
	}
	if len(s.Firmware) > maxWord || len(s.Conditions) > maxConditions {
		return status{}, fmt.Errorf("read status: firmware or conditions are too long")
	}
	for _, c := range s.Conditions {
		if len(c) > maxWord {
			return status{}, fmt.Errorf("read status: a condition of %d bytes, at most %d", len(c), maxWord)
		}
	}
	return s, nil
}

// parseControl reads one JSON object. Members that are not known are ignored.
func parseControl(b []byte, v any) error {
	if len(b) > maxControl {
		return fmt.Errorf("%d bytes, at most %d", len(b), maxControl)
	}
	return json.Unmarshal(b, v)
}

// down is a message to a device. Type says which of the members are set.
type down struct {
	Type    string      `json:"type"`
	Ref     *seal.Ref   `json:"ref,omitempty"`
	Hash    seal.Hash   `json:"hash,omitzero"`
	Reason  seal.Reason `json:"reason,omitempty"`
	Detail  string      `json:"detail,omitempty"`
	URL     string      `json:"url,omitempty"`
	Expires int64       `json:"expires,omitempty"`
	Hint    string      `json:"hint,omitempty"` // base64url
	Letter  b64         `json:"letter,omitempty"`
}

// The types of message to a device.
const (
	downReceipt       = "receipt"
	downRefusal       = "refusal"
	downGrant         = "grant"
	downRecordReceipt = "record-receipt"
	downRecordRefusal = "record-refusal"
	downHint          = "hint"
	downLetter        = "letter"
)

// maxDetail bounds the text of a refusal, so that the message stays within its limit.
const maxDetail = 512

// encode is the message as it is sent.
func (d down) encode() ([]byte, error) {
	if len(d.Detail) > maxDetail {
		d.Detail = strings.ToValidUTF8(d.Detail[:maxDetail], "")
	}
	b, err := json.Marshal(d)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", d.Type, err)
	}
	return b, nil
}
