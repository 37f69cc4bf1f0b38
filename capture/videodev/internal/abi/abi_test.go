package abi

import (
	"bufio"
	"os"
	"strconv"
	"strings"
	"testing"
)

// header reads what the C compiler said.
func header(t *testing.T, name string) map[string]int64 {
	t.Helper()
	file, err := os.Open("testdata/" + name)
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	says := make(map[string]int64)
	for lines := bufio.NewScanner(file); lines.Scan(); {
		key, value, _ := strings.Cut(lines.Text(), " ")
		n, err := strconv.ParseInt(value, 10, 64)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		says[key] = n
	}
	return says
}

// everywhere are the lengths and places that do not depend on the machine.
func everywhere() map[string]int {
	m := map[string]int{}
	group := func(name string, bytes int, fields map[string]int) {
		if bytes > 0 {
			m[name] = bytes
		}
		for field, at := range fields {
			m[name+"."+field] = at
		}
	}
	group("v4l2_capability", CapabilityBytes, map[string]int{"driver": CapabilityDriver, "card": CapabilityCard, "bus_info": CapabilityBus, "capabilities": CapabilityAll, "device_caps": CapabilityNode})
	group("v4l2_fmtdesc", FmtdescBytes, map[string]int{"index": FmtdescIndex, "type": FmtdescType, "flags": FmtdescFlags, "description": FmtdescText, "pixelformat": FmtdescPixelFormat})
	group("v4l2_frmsizeenum", FrameSizeBytes, map[string]int{
		"index": FrameSizeIndex, "pixel_format": FrameSizePixelFormat, "type": FrameSizeKind,
		"discrete.width": FrameSizeWidth, "discrete.height": FrameSizeHeight,
		"stepwise.min_width": FrameSizeWidth, "stepwise.max_width": FrameSizeMaxWidth, "stepwise.step_width": FrameSizeStepWidth,
		"stepwise.min_height": FrameSizeMinHeight, "stepwise.max_height": FrameSizeMaxHeight, "stepwise.step_height": FrameSizeStepHeight,
	})
	group("v4l2_frmivalenum", FrameIntervalBytes, map[string]int{
		"index": FrameIntervalIndex, "pixel_format": FrameIntervalPixelFormat, "width": FrameIntervalWidth, "height": FrameIntervalHeight,
		"type": FrameIntervalKind, "discrete": FrameIntervalMin, "stepwise.min": FrameIntervalMin, "stepwise.max": FrameIntervalMax, "stepwise.step": FrameIntervalStep,
	})
	group("v4l2_format", 0, map[string]int{"type": FormatType})
	group("v4l2_pix_format", 0, map[string]int{
		"width": PixWidth, "height": PixHeight, "pixelformat": PixPixelFormat, "field": PixField, "bytesperline": PixBytesPerLine,
		"sizeimage": PixSizeImage, "colorspace": PixColorspace, "priv": PixPriv, "flags": PixFlags, "ycbcr_enc": PixEncoding,
		"quantization": PixQuantization, "xfer_func": PixTransfer,
	})
	group("v4l2_pix_format_mplane", 0, map[string]int{
		"width": MPlaneWidth, "height": MPlaneHeight, "pixelformat": MPlanePixelFormat, "field": MPlaneField, "colorspace": MPlaneColorspace,
		"plane_fmt": MPlanePlanes, "num_planes": MPlaneCount, "flags": MPlaneFlags, "ycbcr_enc": MPlaneEncoding,
		"quantization": MPlaneQuantization, "xfer_func": MPlaneTransfer,
	})
	group("v4l2_plane_pix_format", PlanePixBytes, map[string]int{"sizeimage": PlanePixSizeImage, "bytesperline": PlanePixBytesPerRow})
	group("v4l2_streamparm", StreamParmBytes, map[string]int{
		"type": StreamParmType, "parm.capture.capability": StreamParmCapability, "parm.output.capability": StreamParmCapability,
		"parm.capture.timeperframe": StreamParmInterval, "parm.output.timeperframe": StreamParmInterval,
	})
	group("v4l2_requestbuffers", RequestBuffersBytes, map[string]int{"count": RequestBuffersCount, "type": RequestBuffersType, "memory": RequestBuffersMemory})
	group("v4l2_buffer", 0, map[string]int{"index": BufferIndex, "type": BufferType, "bytesused": BufferUsed, "flags": BufferFlags, "field": BufferField})
	group("v4l2_plane", 0, map[string]int{"bytesused": PlaneUsed, "length": PlaneLength, "m": PlanePointer})
	group("v4l2_control", ControlBytes, map[string]int{"id": ControlID, "value": ControlValue})
	group("v4l2_ext_controls", 0, map[string]int{"which": ExtControlsWhich, "count": ExtControlsCount})
	group("v4l2_ext_control", ExtControlBytes, map[string]int{"id": ExtControlID, "size": ExtControlSize, "value": ExtControlValue})
	group("v4l2_queryctrl", QueryControlBytes, map[string]int{
		"id": QueryControlID, "type": QueryControlType, "name": QueryControlName, "minimum": QueryControlMin, "maximum": QueryControlMax,
		"step": QueryControlStep, "default_value": QueryControlDefault, "flags": QueryControlFlags,
	})
	group("v4l2_query_ext_ctrl", QueryExtControlBytes, map[string]int{
		"id": QueryExtControlID, "type": QueryExtControlType, "name": QueryExtControlName, "minimum": QueryExtControlMin, "maximum": QueryExtControlMax,
		"step": QueryExtControlStep, "default_value": QueryExtControlDefault, "flags": QueryExtControlFlags,
	})
	group("v4l2_querymenu", QueryMenuBytes, map[string]int{"id": QueryMenuID, "index": QueryMenuIndex, "name": QueryMenuName, "value": QueryMenuValue})
	group("v4l2_input", InputBytes, map[string]int{"index": InputIndex, "name": InputName, "type": InputType, "status": InputStatus})
	group("v4l2_encoder_cmd", EncoderCommandBytes, map[string]int{"cmd": EncoderCommand})
	group("v4l2_event_subscription", SubscriptionBytes, map[string]int{"type": SubscriptionType, "id": SubscriptionID})
	group("v4l2_event", 0, map[string]int{"type": EventType, "u": EventUnion, "pending": EventPending})
	return m
}

// Every length, place and number is the one that a C compiler gives.
func TestLayouts(t *testing.T) {
	for name, a := range map[string]ABI{
		"layout-64.txt":         {Word: 8, Time: 8},
		"layout-arm-time64.txt": {Word: 4, Time: 8},
		"layout-arm-time32.txt": {Word: 4, Time: 4},
	} {
		t.Run(name, func(t *testing.T) {
			ours := everywhere()
			ours["v4l2_format"], ours["v4l2_format.fmt"] = a.FormatBytes(), a.FormatUnion()
			ours["v4l2_ext_controls"], ours["v4l2_ext_controls.controls"] = a.ExtControlsBytes(), a.ExtControlsPointer()
			ours["v4l2_plane"], ours["v4l2_plane.data_offset"] = a.PlaneBytes(), a.PlaneDataOffset()
			ours["v4l2_event"], ours["v4l2_event.id"] = a.EventBytes(), a.EventID()
			b := a.Buffer()
			ours["v4l2_buffer"], ours["v4l2_buffer.timestamp"], ours["v4l2_buffer.sequence"] = b.Bytes, b.Timestamp, b.Sequence
			ours["v4l2_buffer.memory"], ours["v4l2_buffer.m"], ours["v4l2_buffer.length"] = b.Memory, b.Pointer, b.Length
			requests := map[string]Request{}
			for ordinal := range 256 {
				if r := a.Request(ordinal); r != 0 {
					requests["VIDIOC_"+r.String()] = r
				}
			}
			says := header(t, name)
			for key, at := range ours {
				if want, ok := says[key]; !ok || want != int64(at) {
					t.Errorf("%s is %d, the header says %d (%v)", key, at, want, ok)
				}
			}
			for key, r := range requests {
				if want, ok := says[key]; !ok || uint32(want) != uint32(r) {
					t.Errorf("%s is %#x, the header says %#x (%v)", key, uint32(r), uint32(want), ok)
				}
			}
			if len(requests) < 28 {
				t.Errorf("only %d ioctls", len(requests))
			}
		})
	}
}

func TestMemory(t *testing.T) {
	m := make(Memory, 40)
	m.SetText(4, 8, "twelve chars")
	if got := m.Text(4, 8); got != "twelve " || m[12] != 0 {
		t.Errorf("text is %q", got)
	}
	copy(m, "\xff\x00")
	if got := m.Text(0, 4); got != "?" {
		t.Errorf("text that is no UTF-8 is %q", got)
	}
	for _, a := range []ABI{{Word: 8, Time: 8}, {Word: 4, Time: 4}} {
		a.SetTimeval(m, 8, 2_000_000_000, 999_999)
		if s, us := a.Timeval(m, 8); s != 2_000_000_000 || us != 999_999 {
			t.Errorf("%+v: time is %d s %d µs", a, s, us)
		}
	}
	if got := Request(0xc00056c8).String(); got != "ioctl 0xc00056c8" {
		t.Errorf("an unknown request is %q", got)
	}
}
