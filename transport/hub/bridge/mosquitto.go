package bridge

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"path/filepath"
	"time"

	"github.com/lensward/lensward/transport/hub/authority"
)

// mosquittoConfig is for Mosquitto 2.0 and later, alone or under an include_dir. The
// arguments are the port and the directory, twice for each.
const mosquittoConfig = `# Lensward cameras, for Mosquitto 2.0 or later. See docs/guide/brokers.md.
listener %[1]d
cafile %[2]s/ca.pem
certfile %[2]s/server.pem
keyfile %[2]s/server.key

# Who holds a certificate of the hub's CA may come in, in the name that it has. The
# second line makes the client ID the same, so that nobody can take another's session.
allow_anonymous false
require_certificate true
use_identity_as_username true
use_username_as_clientid true
acl_file %[2]s/acl

# What a camera may send at once, and what may wait for the hub while it is busy.
max_packet_size 139264
max_queued_messages 20000
retain_available false
set_tcp_nodelay true
`

// mosquittoRules let a device use its own topics, and the hub the other end of them.
const mosquittoRules = `# A camera speaks on its own topics and hears its own answers.
pattern write lensward/1/%u/record
pattern write lensward/1/%u/item
pattern write lensward/1/%u/want
pattern write lensward/1/%u/status
pattern write lensward/1/%u/answer
pattern read lensward/1/%u/down

# The hub hears all cameras and answers them.
user ` + Name + `
topic read lensward/1/+/record
topic read lensward/1/+/item
topic read lensward/1/+/want
topic read lensward/1/+/status
topic read lensward/1/+/answer
topic write lensward/1/+/down
`

// File is one file of a broker's configuration.
type File struct {
	Name   string
	Data   []byte
	Secret bool // only the broker may read it
}

// Mosquitto is all that Mosquitto needs to be the broker of a hub with this CA: its
// configuration, its rules and its certificate for these host names and addresses. The
// files are to lie in the directory dir.
func Mosquitto(ca *authority.Authority, hosts []string, port int, dir string) ([]File, error) {
	cert, err := ca.Server(hosts, time.Time{}, time.Time{})
	if err != nil {
		return nil, fmt.Errorf("make the broker's certificate: %w", err)
	}
	key, err := x509.MarshalPKCS8PrivateKey(cert.PrivateKey)
	if err != nil {
		return nil, fmt.Errorf("make the broker's key: %w", err)
	}
	return []File{
		{Name: "mosquitto.conf", Data: fmt.Appendf(nil, mosquittoConfig, port, filepath.Clean(dir))},
		{Name: "acl", Data: []byte(mosquittoRules)},
		{Name: "ca.pem", Data: ca.PEM()},
		{Name: "server.pem", Data: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert.Leaf.Raw})},
		{Name: "server.key", Data: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: key}), Secret: true},
	}, nil
}
