/*
 * The kernel's own word on the layout of its structures. Compiled to assembler,
 * never run, so that one machine answers for others:
 *
 *   gcc -S -o - layout.c                              > 64 bits
 *   gcc -S -o - -m32 -malign-double -DTIME=64 layout.c > 32-bit ARM, 64-bit time
 *   gcc -S -o - -m32 -malign-double -DTIME=32 layout.c > 32-bit ARM, 32-bit time
 *
 * ARM aligns 64-bit integers to 8 bytes, as -malign-double has it. Keep the lines
 * that begin with "->". layout.sh does all of that.
 */
#define _SYS_TIME_H
#if defined(TIME)
#if TIME == 64
struct timeval { long long tv_sec, tv_usec; };
struct timespec { long long tv_sec, tv_nsec; };
#else
struct timeval { int tv_sec, tv_usec; };
struct timespec { int tv_sec, tv_nsec; };
#endif
#else
struct timeval { long tv_sec, tv_usec; };
struct timespec { long tv_sec, tv_nsec; };
#endif
#include <linux/videodev2.h>

#define SAY(name, value) __asm__ volatile("\n->" name " %0" : : "i"(value));
#define S(s) SAY(#s, sizeof(struct s))
#define F(s, f) SAY(#s "." #f, __builtin_offsetof(struct s, f))
#define R(r) SAY(#r, (unsigned)(r))

void layout(void)
{
	S(v4l2_capability) F(v4l2_capability, driver) F(v4l2_capability, card) F(v4l2_capability, bus_info)
	F(v4l2_capability, version) F(v4l2_capability, capabilities) F(v4l2_capability, device_caps)
	S(v4l2_fmtdesc) F(v4l2_fmtdesc, index) F(v4l2_fmtdesc, type) F(v4l2_fmtdesc, flags)
	F(v4l2_fmtdesc, description) F(v4l2_fmtdesc, pixelformat)
	S(v4l2_frmsizeenum) F(v4l2_frmsizeenum, index) F(v4l2_frmsizeenum, pixel_format) F(v4l2_frmsizeenum, type)
	F(v4l2_frmsizeenum, discrete.width) F(v4l2_frmsizeenum, discrete.height)
	F(v4l2_frmsizeenum, stepwise.min_width) F(v4l2_frmsizeenum, stepwise.max_width) F(v4l2_frmsizeenum, stepwise.step_width)
	F(v4l2_frmsizeenum, stepwise.min_height) F(v4l2_frmsizeenum, stepwise.max_height) F(v4l2_frmsizeenum, stepwise.step_height)
	S(v4l2_frmivalenum) F(v4l2_frmivalenum, index) F(v4l2_frmivalenum, pixel_format) F(v4l2_frmivalenum, width)
	F(v4l2_frmivalenum, height) F(v4l2_frmivalenum, type) F(v4l2_frmivalenum, discrete)
	F(v4l2_frmivalenum, stepwise.min) F(v4l2_frmivalenum, stepwise.max) F(v4l2_frmivalenum, stepwise.step)
	S(v4l2_format) F(v4l2_format, type) F(v4l2_format, fmt)
	F(v4l2_pix_format, width) F(v4l2_pix_format, height) F(v4l2_pix_format, pixelformat) F(v4l2_pix_format, field)
	F(v4l2_pix_format, bytesperline) F(v4l2_pix_format, sizeimage) F(v4l2_pix_format, colorspace) F(v4l2_pix_format, priv)
	F(v4l2_pix_format, flags) F(v4l2_pix_format, ycbcr_enc) F(v4l2_pix_format, quantization) F(v4l2_pix_format, xfer_func)
	F(v4l2_pix_format_mplane, width) F(v4l2_pix_format_mplane, height) F(v4l2_pix_format_mplane, pixelformat)
	F(v4l2_pix_format_mplane, field) F(v4l2_pix_format_mplane, colorspace) F(v4l2_pix_format_mplane, plane_fmt)
	F(v4l2_pix_format_mplane, num_planes) F(v4l2_pix_format_mplane, flags) F(v4l2_pix_format_mplane, ycbcr_enc)
	F(v4l2_pix_format_mplane, quantization) F(v4l2_pix_format_mplane, xfer_func)
	S(v4l2_plane_pix_format) F(v4l2_plane_pix_format, sizeimage) F(v4l2_plane_pix_format, bytesperline)
	S(v4l2_streamparm) F(v4l2_streamparm, type)
	F(v4l2_streamparm, parm.capture.capability) F(v4l2_streamparm, parm.capture.timeperframe)
	F(v4l2_streamparm, parm.output.capability) F(v4l2_streamparm, parm.output.timeperframe)
	S(v4l2_requestbuffers) F(v4l2_requestbuffers, count) F(v4l2_requestbuffers, type) F(v4l2_requestbuffers, memory)
	S(v4l2_buffer) F(v4l2_buffer, index) F(v4l2_buffer, type) F(v4l2_buffer, bytesused) F(v4l2_buffer, flags)
	F(v4l2_buffer, field) F(v4l2_buffer, timestamp) F(v4l2_buffer, sequence) F(v4l2_buffer, memory)
	F(v4l2_buffer, m) F(v4l2_buffer, length)
	S(v4l2_plane) F(v4l2_plane, bytesused) F(v4l2_plane, length) F(v4l2_plane, m) F(v4l2_plane, data_offset)
	S(v4l2_control) F(v4l2_control, id) F(v4l2_control, value)
	S(v4l2_ext_controls) F(v4l2_ext_controls, which) F(v4l2_ext_controls, count) F(v4l2_ext_controls, error_idx)
	F(v4l2_ext_controls, controls)
	S(v4l2_ext_control) F(v4l2_ext_control, id) F(v4l2_ext_control, size) F(v4l2_ext_control, value)
	S(v4l2_queryctrl) F(v4l2_queryctrl, id) F(v4l2_queryctrl, type) F(v4l2_queryctrl, name) F(v4l2_queryctrl, minimum)
	F(v4l2_queryctrl, maximum) F(v4l2_queryctrl, step) F(v4l2_queryctrl, default_value) F(v4l2_queryctrl, flags)
	S(v4l2_query_ext_ctrl) F(v4l2_query_ext_ctrl, id) F(v4l2_query_ext_ctrl, type) F(v4l2_query_ext_ctrl, name)
	F(v4l2_query_ext_ctrl, minimum) F(v4l2_query_ext_ctrl, maximum) F(v4l2_query_ext_ctrl, step)
	F(v4l2_query_ext_ctrl, default_value) F(v4l2_query_ext_ctrl, flags)
	S(v4l2_querymenu) F(v4l2_querymenu, id) F(v4l2_querymenu, index) F(v4l2_querymenu, name) F(v4l2_querymenu, value)
	S(v4l2_input) F(v4l2_input, index) F(v4l2_input, name) F(v4l2_input, type) F(v4l2_input, status)
	S(v4l2_encoder_cmd) F(v4l2_encoder_cmd, cmd)
	S(v4l2_event_subscription) F(v4l2_event_subscription, type) F(v4l2_event_subscription, id)
	S(v4l2_event) F(v4l2_event, type) F(v4l2_event, u) F(v4l2_event, pending) F(v4l2_event, id)
	R(VIDIOC_QUERYCAP) R(VIDIOC_ENUM_FMT) R(VIDIOC_G_FMT) R(VIDIOC_S_FMT) R(VIDIOC_TRY_FMT) R(VIDIOC_REQBUFS)
	R(VIDIOC_QUERYBUF) R(VIDIOC_QBUF) R(VIDIOC_DQBUF) R(VIDIOC_STREAMON) R(VIDIOC_STREAMOFF)
	R(VIDIOC_G_PARM) R(VIDIOC_S_PARM) R(VIDIOC_ENUMINPUT) R(VIDIOC_G_INPUT) R(VIDIOC_S_INPUT)
	R(VIDIOC_G_CTRL) R(VIDIOC_S_CTRL) R(VIDIOC_QUERYCTRL) R(VIDIOC_QUERYMENU) R(VIDIOC_QUERY_EXT_CTRL)
	R(VIDIOC_G_EXT_CTRLS) R(VIDIOC_S_EXT_CTRLS) R(VIDIOC_ENUM_FRAMESIZES) R(VIDIOC_ENUM_FRAMEINTERVALS)
	R(VIDIOC_ENCODER_CMD) R(VIDIOC_DQEVENT) R(VIDIOC_SUBSCRIBE_EVENT)
}
