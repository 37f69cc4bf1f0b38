//go:build linux

package v4l2

import (
	"errors"
	"fmt"
	"reflect"
	"unsafe"

	"github.com/blackjack/webcam"
	"github.com/blackjack/webcam/ioctl"
	"golang.org/x/sys/unix"
)

// buffers is how many frames the driver may hold: enough to ride out a short
// stall, few enough not to show the past.
const buffers = 4

// webcamDevice is a camera behind github.com/blackjack/webcam.
type webcamDevice struct {
	path string
	cam  *webcam.Webcam
}

// openDevice opens a camera.
func openDevice(path string) (device, error) {
	if err := checkCapture(path); err != nil {
		return nil, err
	}
	cam, err := webcam.Open(path)
	if err != nil {
		return nil, err
	}
	if err := cam.SetBufferCount(buffers); err != nil {
		cam.Close()
		return nil, err
	}
	return &webcamDevice{path: path, cam: cam}, nil
}

func (d *webcamDevice) formats() map[PixelFormat]string {
	has := make(map[PixelFormat]string)
	for format, text := range d.cam.GetSupportedFormats() {
		has[PixelFormat(format)] = text
	}
	return has
}

// configure reads the format back from the driver, since SetImageFormat returns
// the size that was asked for.
func (d *webcamDevice) configure(format PixelFormat, width, height int, fps float64) (Mode, error) {
	if _, _, _, err := d.cam.SetImageFormat(webcam.PixelFormat(format), uint32(width), uint32(height)); err != nil {
		return Mode{}, fmt.Errorf("set format %v %d×%d: %w", format, width, height, err)
	}
	mode, err := readMode(d.path)
	if err != nil {
		return Mode{}, err
	}
	// Drivers without a settable or readable rate have one of their own.
	if err := d.cam.SetFramerate(float32(fps)); err != nil && !errors.Is(err, unix.ENOTTY) && !errors.Is(err, unix.EINVAL) {
		return Mode{}, fmt.Errorf("set frame rate %v: %w", fps, err)
	}
	if rate, err := d.cam.GetFramerate(); err == nil {
		mode.FPS = float64(rate)
	}
	return mode, nil
}

func (d *webcamDevice) start() error {
	err := d.cam.StartStreaming()
	if err != nil {
		unmapBuffers(d.cam)
	}
	return err
}

// unmapBuffers gives back the memory that a failed StartStreaming leaves mapped,
// which would hold the driver's buffers for the life of the process.
func unmapBuffers(cam *webcam.Webcam) {
	maps := reflect.ValueOf(cam).Elem().FieldByName("buffers")
	for i := range maps.Len() {
		if memory := maps.Index(i).Bytes(); len(memory) > 0 {
			_ = unix.Munmap(memory) // nothing more can be done
		}
	}
}

func (d *webcamDevice) wait() error {
	err := d.cam.WaitForFrame(1)
	var timeout *webcam.Timeout
	if errors.As(err, &timeout) {
		return errTimeout
	}
	return err
}

func (d *webcamDevice) frame() ([]byte, uint32, error) { return d.cam.GetFrame() }

func (d *webcamDevice) release(buffer uint32) error { return d.cam.ReleaseFrame(buffer) }

func (d *webcamDevice) close() error { return d.cam.Close() }

// Constants and structures of the kernel's videodev2.h.
const (
	capVideoCapture  = 0x00000001
	capDeviceCaps    = 0x80000000
	bufVideoCapture  = 1
	numberQueryCap   = 0
	numberGetFormat  = 4
	v4l2IoctlClass   = 'V'
	formatUnionBytes = 200
)

// capability is struct v4l2_capability.
type capability struct {
	driver   [16]byte
	card     [32]byte
	bus      [32]byte
	version  uint32
	device   uint32 // what the device as a whole can do
	node     uint32 // what this node of it can do
	reserved [3]uint32
}

// pixFormat is struct v4l2_pix_format.
type pixFormat struct {
	width, height          uint32
	pixelFormat            uint32
	field                  uint32
	bytesPerLine           uint32
	sizeImage              uint32
	colorspace             uint32
	priv, flags            uint32
	encoding, quantization uint32
	transfer               uint32
}

// format is struct v4l2_format; its union is aligned as a pointer.
type format struct {
	kind uint32
	_    [0]uintptr
	pix  pixFormat
	_    [formatUnionBytes - unsafe.Sizeof(pixFormat{})]byte
}

// query runs one reading ioctl on a second opening of the device, since the
// library keeps its own to itself.
func query(path string, request uintptr, answer unsafe.Pointer) error {
	fd, err := unix.Open(path, unix.O_RDWR|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	// Called directly, since only so does the compiler keep answer in its place.
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(answer)); errno != 0 {
		return errno
	}
	return nil
}

// checkCapture says whether the node gives pictures. The metadata nodes of USB
// cameras look like cameras unless this is read.
func checkCapture(path string) error {
	var c capability
	if err := query(path, ioctl.IoR(v4l2IoctlClass, numberQueryCap, unsafe.Sizeof(c)), unsafe.Pointer(&c)); err != nil {
		if errors.Is(err, unix.ENOTTY) || errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) {
			return fmt.Errorf("not a V4L2 device: %w", err)
		}
		return err
	}
	can := c.device
	if can&capDeviceCaps != 0 {
		can = c.node
	}
	if can&capVideoCapture == 0 {
		return errors.New("the device gives no pictures; hint: cameras have several /dev/videoN, try the others")
	}
	return nil
}

// readMode asks the driver which format is set.
func readMode(path string) (Mode, error) {
	f := format{kind: bufVideoCapture}
	if err := query(path, ioctl.IoRW(v4l2IoctlClass, numberGetFormat, unsafe.Sizeof(f)), unsafe.Pointer(&f)); err != nil {
		return Mode{}, fmt.Errorf("read format back: %w", err)
	}
	return Mode{
		Format: PixelFormat(f.pix.pixelFormat),
		Width:  int(min(f.pix.width, 1<<16)), Height: int(min(f.pix.height, 1<<16)),
		Stride: int(min(f.pix.bytesPerLine, 1<<24)),
	}, nil
}
