package capture

import "errors"

// Fault names what is wrong with a camera, so that it can be shown and counted
// without reading an error's text. The words are those of the health conditions.
type Fault string

// The faults.
const (
	// FaultUnplugged: the camera is not there, or went away.
	FaultUnplugged Fault = "camera-unplugged"
	// FaultBusy: another program has the camera.
	FaultBusy Fault = "camera-busy"
	// FaultForbidden: this process may not open it.
	FaultForbidden Fault = "camera-forbidden"
	// FaultSilent: it is there and gives no pictures.
	FaultSilent Fault = "camera-silent"
	// FaultBroken: it gives pictures, but none is whole.
	FaultBroken Fault = "camera-broken"
	// FaultUnsuitable: it gives nothing that can be read, or cannot do what the
	// configuration wants of it.
	FaultUnsuitable Fault = "camera-unsuitable"
	// FaultFailed is anything else.
	FaultFailed Fault = "camera-failed"
)

// Faults lists them all.
func Faults() []Fault {
	return []Fault{
		FaultUnplugged, FaultBusy, FaultForbidden, FaultSilent, FaultBroken, FaultUnsuitable, FaultFailed,
	}
}

// FaultError is a camera's error with its name.
type FaultError struct {
	Fault Fault
	Err   error
}

// Error returns the error's own text.
func (e *FaultError) Error() string { return e.Err.Error() }

// Unwrap returns the error itself.
func (e *FaultError) Unwrap() error { return e.Err }

// FaultOf names an error; FaultFailed if nobody did.
func FaultOf(err error) Fault {
	var f *FaultError
	if errors.As(err, &f) {
		return f.Fault
	}
	return FaultFailed
}
