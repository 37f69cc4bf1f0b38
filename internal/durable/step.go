package durable

// Op is one thing that is done to the disk.
type Op string

// The operations, in the order in which WriteFile does them; Create has a link
// and a removal in place of the rename.
const (
	OpCreate  Op = "create"   // a temporary file
	OpWrite   Op = "write"    // the data into it
	OpSync    Op = "sync"     // fsync of the file
	OpRename  Op = "rename"   // onto the final name
	OpLink    Op = "link"     // to a final name that must be new
	OpSyncDir Op = "sync-dir" // fsync of the directory
	OpRemove  Op = "remove"   // unlink
)

// Phase says on which side of its operation a step is.
type Phase string

// The two sides.
const (
	Before Phase = "before"
	After  Phase = "after"
)

// Step is a point at which a test can look or interfere. A hook that returns an
// error before an operation makes it fail with nothing done; after it, fail
// although it was done.
type Step struct {
	Op    Op
	Phase Phase
	// Dir is the directory's path.
	Dir string
	// Name is the file that is touched: the temporary one for create (known after
	// it), write and sync, the old name for rename and link; empty for sync-dir.
	Name string
	// Target is the final name.
	Target string
	// To is the directory of Target where it is another than Dir.
	To string
	// Size is how many bytes are written.
	Size int
}

// step does one operation with the hook on both sides.
func (d *Dir) step(s Step, do func() error) error {
	if d.hook == nil {
		return do()
	}
	s.Dir = d.path
	if s.To == d.path {
		s.To = ""
	}
	s.Phase = Before
	if err := d.hook(s); err != nil {
		return err
	}
	if err := do(); err != nil {
		return err
	}
	s.Phase = After
	return d.hook(s)
}
