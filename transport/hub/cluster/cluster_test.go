package cluster

import (
	"errors"
	"fmt"
	"io/fs"
	"reflect"
	"strings"
	"testing"

	"github.com/lensward/lensward/internal/durable"
)

func three() []Node {
	return []Node{{"hub-1", "hub1.example:6222"}, {"hub-2", "192.0.2.2:6222"}, {"hub-3", "[2001:db8::3]:6222"}}
}

// golden is the file of docs/ref/cluster.md.
const golden = `# One node of a cluster of hubs. Every node has this file; only node differs.
version = 1
node = 'hub-2'

[[nodes]]
name = 'hub-1'
address = 'hub1.example:6222'

[[nodes]]
name = 'hub-2'
address = '192.0.2.2:6222'

[[nodes]]
name = 'hub-3'
address = '[2001:db8::3]:6222'
`

func TestFileIsTheReferences(t *testing.T) {
	c, err := New("hub-2", three())
	if err != nil {
		t.Fatal(err)
	}
	dir, err := durable.Open(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Read(dir); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("a directory without the file: %v", err)
	}
	if err := c.Write(dir); err != nil {
		t.Fatal(err)
	}
	if b, err := dir.ReadFile(File, fileLimit); err != nil || string(b) != golden {
		t.Errorf("the file is, %v:\n%s", err, b)
	}
	again, err := Read(dir)
	if err != nil || !reflect.DeepEqual(again, c) {
		t.Errorf("read back as %+v, %v", again, err)
	}
	if self := again.Self(); self.Host() != "192.0.2.2" || self.Port() != 6222 {
		t.Errorf("this node is %+v", self)
	}
	if o := again.Others(); len(o) != 2 || o[0].Name != "hub-1" || o[1].Host() != "2001:db8::3" {
		t.Errorf("the others are %+v", o)
	}
}

func TestFilesThatAreRefused(t *testing.T) {
	with := func(old, new string) string { return strings.Replace(golden, old, new, 1) }
	for name, tc := range map[string]struct{ text, want string }{
		"empty":               {"", "version is 0"},
		"another version":     {with("version = 1", "version = 2"), "version is 2"},
		"an unknown key":      {with("version = 1", "version = 1\nsecret = 'x'"), "not known"},
		"two nodes":           {golden[:strings.LastIndex(golden, "[[nodes]]")], "names 2 nodes"},
		"a node twice":        {with("name = 'hub-3'", "name = 'hub-1'"), "twice"},
		"an address twice":    {with("[2001:db8::3]:6222", "192.0.2.2:6222"), "twice"},
		"a stranger":          {with("node = 'hub-2'", "node = 'hub-4'"), "not among"},
		"a name with a dot":   {with("name = 'hub-1'", "name = 'hub.1'"), "node name"},
		"a name in capitals":  {with("name = 'hub-1'", "name = 'Hub-1'"), "node name"},
		"no port":             {with("hub1.example:6222", "hub1.example"), "missing port"},
		"port 0":              {with("hub1.example:6222", "hub1.example:0"), "port"},
		"no host":             {with("hub1.example:6222", ":6222"), "host name"},
		"a host with a space": {with("hub1.example:6222", "hub 1:6222"), "host name"},
		"too long":            {golden + strings.Repeat("#", fileLimit), "at most"},
		"too many": {golden + func() (s string) {
			for i := range MaxNodes {
				s += fmt.Sprintf("[[nodes]]\nname = 'n%d'\naddress = 'n%d:1'\n", i, i)
			}
			return s
		}(), "a cluster has"},
	} {
		if _, err := Parse([]byte(tc.text)); err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParse(f *testing.F) {
	f.Add([]byte(golden))
	f.Fuzz(func(t *testing.T, b []byte) {
		c, err := Parse(b)
		if err != nil {
			return
		}
		text, err := c.encode()
		if err != nil {
			t.Fatal(err)
		}
		if again, err := Parse(text); err != nil || !reflect.DeepEqual(again, c) {
			t.Errorf("%+v is read back as %+v, %v", c, again, err)
		}
		if c.Self().Name != c.Node || c.Self().Port() == 0 || len(c.Others()) != len(c.Nodes)-1 {
			t.Errorf("%+v", c)
		}
	})
}
