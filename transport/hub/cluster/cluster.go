// Package cluster is the file that makes a hub one node of a cluster of hubs: what the
// nodes are called and where they reach one another (docs/ref/cluster.md).
//
// It owns the file's form and limits. It holds no secret, opens no connection and never
// decides which node does what: the broker does.
package cluster

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"regexp"
	"strconv"

	"github.com/pelletier/go-toml/v2"

	"github.com/lensward/lensward/internal/durable"
)

// File is the name of the file in a hub's state directory.
const File = "cluster.toml"

// MinNodes and MaxNodes are how many nodes a cluster may have. With fewer than three
// there is no majority that outlives a node.
const (
	MinNodes = 3
	MaxNodes = 15
)

const (
	version   = 1
	fileLimit = 16 << 10 // bytes
)

// Cluster is what a node knows of its cluster.
type Cluster struct {
	// Version is the file's version, 1.
	Version int `toml:"version"`
	// Node is the name of the node whose file this is.
	Node string `toml:"node"`
	// Nodes are all nodes, this one among them.
	Nodes []Node `toml:"nodes"`
}

// Node is one hub of a cluster.
type Node struct {
	// Name is the node's own: 1 to 32 lower-case letters, digits and hyphens.
	Name string `toml:"name"`
	// Address is the host:port at which the other nodes reach it.
	Address string `toml:"address"`
}

// New is a cluster of these nodes as the one of this name knows it.
func New(node string, nodes []Node) (*Cluster, error) {
	c := &Cluster{Version: version, Node: node, Nodes: nodes}
	if err := c.validate(); err != nil {
		return nil, err
	}
	return c, nil
}

// Read reads the file in a state directory. A directory without one is fs.ErrNotExist:
// its hub stands alone.
func Read(dir *durable.Dir) (*Cluster, error) {
	b, err := dir.ReadFile(File, fileLimit)
	if err != nil {
		return nil, fmt.Errorf("read cluster file: %w", err)
	}
	c, err := Parse(b)
	if err != nil {
		return nil, fmt.Errorf("read cluster file %s: %w", dir.Path(File), err)
	}
	return c, nil
}

// Parse reads the file's text.
func Parse(b []byte) (*Cluster, error) {
	if len(b) > fileLimit {
		return nil, fmt.Errorf("%d bytes, at most %d", len(b), fileLimit)
	}
	d := toml.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	var c Cluster
	if err := d.Decode(&c); err != nil {
		var unknown *toml.StrictMissingError
		if errors.As(err, &unknown) {
			return nil, fmt.Errorf("it has a key that is not known:\n%s", unknown.String())
		}
		return nil, err
	}
	if err := c.validate(); err != nil {
		return nil, err
	}
	return &c, nil
}

// Write writes the file into a state directory.
func (c *Cluster) Write(dir *durable.Dir) error {
	b, err := c.encode()
	if err != nil {
		return fmt.Errorf("write cluster file: %w", err)
	}
	if err := dir.WriteFile(File, b, 0o600); err != nil {
		return fmt.Errorf("write cluster file: %w", err)
	}
	return nil
}

func (c *Cluster) encode() ([]byte, error) {
	var b bytes.Buffer
	b.WriteString("# One node of a cluster of hubs. Every node has this file; only node differs.\n")
	if err := toml.NewEncoder(&b).Encode(c); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Self is this node.
func (c *Cluster) Self() Node {
	for _, n := range c.Nodes {
		if n.Name == c.Node {
			return n
		}
	}
	return Node{} // cannot be: validate looked
}

// Others are the nodes that this one calls.
func (c *Cluster) Others() []Node {
	var out []Node
	for _, n := range c.Nodes {
		if n.Name != c.Node {
			out = append(out, n)
		}
	}
	return out
}

// Host is the part of the address before the port.
func (n Node) Host() string {
	host, _, _ := net.SplitHostPort(n.Address) // validate looked
	return host
}

// Port is the address's port.
func (n Node) Port() int {
	_, text, _ := net.SplitHostPort(n.Address)
	port, _ := strconv.Atoi(text) // validate looked
	return port
}

var nodeName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,31}$`)

func (c *Cluster) validate() error {
	if c.Version != version {
		return fmt.Errorf("version is %d; this program reads version %d", c.Version, version)
	}
	if n := len(c.Nodes); n < MinNodes || n > MaxNodes {
		return fmt.Errorf("it names %d nodes; a cluster has %d to %d", n, MinNodes, MaxNodes)
	}
	names, addresses := make(map[string]bool), make(map[string]bool)
	for _, n := range c.Nodes {
		if err := n.validate(); err != nil {
			return err
		}
		if names[n.Name] || addresses[n.Address] {
			return fmt.Errorf("node %s at %s is there twice", n.Name, n.Address)
		}
		names[n.Name], addresses[n.Address] = true, true
	}
	if !names[c.Node] {
		return fmt.Errorf("node %.64q is not among its nodes", c.Node)
	}
	return nil
}

func (n Node) validate() error {
	if !nodeName.MatchString(n.Name) {
		return fmt.Errorf("node name %.64q is not 1 to 32 lower-case letters, digits and hyphens", n.Name)
	}
	host, port, err := net.SplitHostPort(n.Address)
	if err != nil {
		return fmt.Errorf("address of node %s: %w", n.Name, err)
	}
	if p, err := strconv.ParseUint(port, 10, 16); err != nil || p == 0 {
		return fmt.Errorf("address of node %s: port %.16q is not 1 to 65535", n.Name, port)
	}
	if _, err := netip.ParseAddr(host); err != nil && !hostName.MatchString(host) {
		return fmt.Errorf("address of node %s: %.64q is neither a host name nor an IP address", n.Name, host)
	}
	return nil
}

// hostName is a DNS name, as RFC 1123 has it.
var hostName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)*$`)
