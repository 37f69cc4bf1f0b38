package hub

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/lensward/lensward/internal/durable"
	"github.com/lensward/lensward/transport/hub/authority"
	"github.com/lensward/lensward/transport/hub/cluster"
)

// InitCluster makes the state directories of a cluster's nodes, each named after its
// node, in out. What all nodes share, the CA and the key of upload grants, is taken from
// the state directory from, or made where that is empty. It returns the directories.
func InitCluster(out, from string, nodes []cluster.Node) (dirs []string, err error) {
	defer func() {
		if err != nil {
			err = fmt.Errorf("make cluster: %w", err)
		}
	}()
	root, err := durable.Open(out)
	if err != nil {
		return nil, err
	}
	var shared map[string][]byte
	for _, n := range nodes {
		c, err := cluster.New(n.Name, nodes)
		if err != nil {
			return nil, err
		}
		dir, err := durable.Open(root.Path(n.Name))
		if err != nil {
			return nil, err
		}
		if names, err := dir.Names(); err != nil || len(names) > 0 {
			return nil, errors.Join(err, fmt.Errorf("%s is not empty", dir.Path("")))
		}
		if shared == nil {
			if shared, err = sharedFiles(from, dir); err != nil {
				return nil, err
			}
		}
		for name, b := range shared {
			if err := dir.WriteFile(name, b, 0o600); err != nil {
				return nil, err
			}
		}
		if err := c.Write(dir); err != nil {
			return nil, err
		}
		dirs = append(dirs, dir.Path(""))
	}
	return dirs, nil
}

// sharedFiles are the files that every node has, from a state directory, or made anew in
// fresh.
func sharedFiles(from string, fresh *durable.Dir) (map[string][]byte, error) {
	dir := fresh
	if from != "" {
		_, err := os.Stat(filepath.Join(from, authority.Files()[0])) // rather than make a CA there
		if err != nil {
			return nil, fmt.Errorf("take the CA of another hub: %w", err)
		}
		if dir, err = durable.Open(from); err != nil {
			return nil, err
		}
	}
	if _, err := authority.Open(dir); err != nil {
		return nil, err
	}
	if _, err := openGrantKey(dir); err != nil {
		return nil, err
	}
	shared := make(map[string][]byte)
	for _, name := range append(authority.Files(), grantKeyFile) {
		b, err := dir.ReadFile(name, 16<<10)
		if err != nil {
			return nil, err
		}
		shared[name] = b
	}
	return shared, nil
}
