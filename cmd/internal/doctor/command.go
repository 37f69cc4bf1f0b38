package doctor

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"

	"github.com/spf13/cobra"

	"github.com/lensward/lensward/cmd/internal/cli"
)

// errNone says that there is no camera that works.
var errNone = errors.New("no camera here gives pictures that can be used")

// Flags are those that both programs have.
type Flags struct {
	asJSON   bool
	pictures string
}

// Add adds the flags to a command.
func (f *Flags) Add(cmd *cobra.Command) {
	cmd.Flags().BoolVar(&f.asJSON, "json", false, "print the report as JSON")
	cmd.Flags().StringVar(&f.pictures, "pictures", "", "write a picture of each camera into this directory")
}

// Run looks and prints. A report without a camera that works is an error.
func (f *Flags) Run(cmd *cobra.Command, o Options) error {
	if f.pictures != "" {
		if err := os.MkdirAll(f.pictures, 0o700); err != nil {
			return fmt.Errorf("make the pictures' directory: %w", err)
		}
		o.Pictures = f.pictures
	}
	log, err := cli.Logger(cmd.ErrOrStderr(), "error")
	if err != nil {
		return err
	}
	o.Log = log
	r, err := Look(cmd.Context(), o)
	if err != nil {
		return err
	}
	if f.asJSON {
		err = json.NewEncoder(cmd.OutOrStdout()).Encode(r)
	} else {
		err = r.Print(cmd.OutOrStdout())
	}
	if err == nil && !r.Works() {
		return cli.Hint(errNone, "docs/ref/cameras.md lists the cameras that work, and how")
	}
	return err
}
