package secret_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"strings"
	"testing"

	"github.com/lensward/lensward/internal/secret"
)

func TestTextHides(t *testing.T) {
	type settings struct{ Token secret.Text }
	s := settings{Token: "sesame"}
	var said bytes.Buffer
	for _, log := range []*slog.Logger{slog.New(slog.NewTextHandler(&said, nil)), slog.New(slog.NewJSONHandler(&said, nil))} {
		log.Info("x", "token", s.Token, "settings", s, "pointer", &s)
	}
	fmt.Fprintf(&said, "%v %+v %#v %s %q", s, s, s, s.Token, s.Token)
	if err := json.NewEncoder(&said).Encode(s); err != nil {
		t.Fatal(err)
	}
	if strings.Contains(said.String(), "sesame") || !strings.Contains(said.String(), "[secret]") {
		t.Errorf("%s", said.String())
	}
	if string(s.Token) != "sesame" {
		t.Error("the secret is lost")
	}
}
