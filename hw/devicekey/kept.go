package devicekey

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"strings"

	"github.com/google/go-tpm/tpm2"
	"github.com/google/go-tpm/tpm2/transport"

	"github.com/lensward/lensward/internal/durable"
)

// A key that its TPM has lost is kept as "device-key.DEVICE-ID.lost".
const (
	lostPrefix = "device-key."
	lostSuffix = ".lost"
)

// readTPM reads the file of a key in a TPM.
func readTPM(d *durable.Dir) (*blob, error) {
	data, err := d.ReadFile(TPMFileName, maxFile)
	if errors.Is(err, durable.ErrTooLarge) {
		return nil, damaged(d, fmt.Errorf("%w: more than %d bytes", ErrCorrupt, maxFile))
	}
	if err != nil {
		return nil, fmt.Errorf("load device key: %w", err)
	}
	b, err := parseBlob(data)
	if err != nil {
		return nil, damaged(d, err)
	}
	return b, nil
}

func damaged(d *durable.Dir, err error) error {
	return fmt.Errorf("load device key: %s: %w\nhint: put it back from a copy; removing it makes the camera a new device that has to be paired again", d.Path(TPMFileName), err)
}

// loadTPM opens the key that the state directory has in a TPM. That it is lost is
// believed when the TPM has said so on two connections.
func loadTPM(ctx context.Context, d *durable.Dir, o Options) (*Key, error) {
	b, err := readTPM(d)
	if err != nil {
		return nil, err
	}
	k := newTPMKey(o.TPM, b)
	ready := func() (struct{}, error) {
		return use(ctx, k, func(transport.TPM, tpm2.AuthHandle) (none struct{}, _ error) { return none, nil })
	}
	for range 2 {
		if _, err = persist(ctx, o.waiting(), ready); !errors.Is(err, ErrLost) {
			break
		}
	}
	switch {
	case errors.Is(err, ErrCorrupt):
		return nil, damaged(d, err)
	case err != nil:
		return nil, fmt.Errorf("load device key: %w", err)
	}
	return newKey(k, ProtectionTPM)
}

// createTPM makes a key in the TPM. Once its file is there, it is the device's.
func createTPM(ctx context.Context, d *durable.Dir, o Options) (*Key, error) {
	k, err := persist(ctx, o.waiting(), func() (*tpmKey, error) { return generateAt(ctx, o.TPM) })
	if err != nil {
		return nil, fmt.Errorf("generate device key: %w", err)
	}
	data, err := k.blob.encode()
	if err != nil {
		return nil, fmt.Errorf("encode device key: %w", errors.Join(err, k.Close()))
	}
	if err := d.Create(TPMFileName, data, 0o600); err != nil {
		return nil, fmt.Errorf("store device key: %w", errors.Join(err, k.Close()))
	}
	o.Log.Info("the device key was made in the TPM", "tpm", o.TPM)
	return newKey(k, ProtectionTPM)
}

// generateAt makes a key in the TPM at path, and has it sign something before anybody
// relies on it.
func generateAt(ctx context.Context, path string) (*tpmKey, error) {
	k := newTPMKey(path, nil)
	_, err := alone(ctx, k, func() (none struct{}, err error) {
		if k.conn, err = dial(path); err != nil {
			return none, err
		}
		k.blob, err = generate(k.conn)
		return none, err
	})
	if err == nil {
		err = k.prove()
	}
	if err != nil {
		// What ails the TPM is said already.
		_ = k.Close()
		return nil, err
	}
	return k, nil
}

// setAside keeps the file of a key that its TPM has lost, under another name. From here
// on the directory is a new device's.
func setAside(d *durable.Dir, log *slog.Logger, cause error) error {
	b, err := readTPM(d)
	if err != nil {
		return err
	}
	k, err := newKey(newTPMKey("", b), ProtectionTPM)
	if err != nil {
		return err
	}
	id := idOf(k.spki)
	name := lostPrefix + id + lostSuffix
	log.Error("the device key is lost; this camera becomes a new device, and has to be paired again",
		"device", id, "error", cause, "kept_as", d.Path(name))
	if err := d.Rename(TPMFileName, name); err != nil {
		return fmt.Errorf("set lost device key aside: %w", err)
	}
	return nil
}

// LostKeys lists the IDs of the devices that this one was before its TPM lost their
// keys, in no particular order. Their keys' files are kept as "device-key.ID.lost": if
// the TPM comes back, the file can be put back under its old name by hand.
func LostKeys(d *durable.Dir) ([]string, error) {
	names, err := d.Names()
	if err != nil {
		return nil, fmt.Errorf("list lost device keys: %w", err)
	}
	var ids []string
	for _, name := range names {
		id, ok := strings.CutPrefix(name, lostPrefix)
		if !ok {
			continue
		}
		if id, ok = strings.CutSuffix(id, lostSuffix); ok {
			ids = append(ids, id)
		}
	}
	return ids, nil
}
