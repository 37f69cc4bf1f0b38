//go:build linux

package videodev

// Controls by ID, as far as they are used (videodev2.h, v4l2-controls.h). Codec
// controls are those of class V4L2_CID_CODEC_BASE.
const (
	ControlExposure           uint32 = 0x00980911 // of old drivers
	ControlAutogain           uint32 = 0x00980912
	ControlGain               uint32 = 0x00980913
	ControlHorizontalFlip     uint32 = 0x00980914
	ControlVerticalFlip       uint32 = 0x00980915
	ControlPowerLineFrequency uint32 = 0x00980918

	ControlExposureAuto     uint32 = 0x009a0901 // a menu: 0 auto, 1 manual, 2 shutter, 3 aperture first
	ControlExposureAbsolute uint32 = 0x009a0902 // in units of 100 µs

	ControlAnalogueGain uint32 = 0x009e0903

	ControlGOPSize              uint32 = 0x009909cb
	ControlBitrateMode          uint32 = 0x009909ce // 0 variable, 1 constant
	ControlBitrate              uint32 = 0x009909cf // bits a second
	ControlHeaderMode           uint32 = 0x009909d8 // 0 separate, 1 joined with the first frame
	ControlRepeatSequenceHeader uint32 = 0x009909e2
	ControlForceKeyFrame        uint32 = 0x009909e5 // a button
	ControlH264IPeriod          uint32 = 0x00990a66
	ControlH264Level            uint32 = 0x00990a67
	ControlH264Profile          uint32 = 0x00990a6b
	ControlBFrames              uint32 = 0x009909ca
)
