#!/usr/bin/env bash
# Makes harder variants of a clip, and of its empty room, as a camera would give
# them.
#
#   scripts/motion-variants.sh CLIP DIR [NAME...]
#
# CLIP is a video of a room whose first five seconds are empty. DIR gets two files
# for each variant: NAME.visits.mjpeg, the whole clip, and NAME.empty.mjpeg, its
# first five seconds forth and back for a minute. Each is a run of JPEGs at the
# variant's own frame rate, listed in DIR/variants.txt. Files that are there stay.
set -euo pipefail

clip=${1:?usage: scripts/motion-variants.sh CLIP DIR [NAME...]}
dir=${2:?usage: scripts/motion-variants.sh CLIP DIR [NAME...]}
shift 2
wanted=" $* "
mkdir -p "$dir"

# A level of 1 in eq's brightness is the whole range, so 0.25 is a quarter of it.
# gain G is eq's contrast, which turns about the middle, moved back to black.
gain() { printf "eq=contrast='%s':brightness='((%s)-1)/2':eval=frame" "$1" "$1"; }
square() { printf 'mod(floor((t+%s)/%s),2)' "$2" "$1"; } # 0 and 1 in turns: PERIOD SHIFT
infrared() {                                            # grey, other contrast and level while EXPRESSION
  printf "hue=s=0:enable='%s',eq=contrast='1-0.25*%s':gamma='1+0.6*%s':brightness='-0.08*%s':eval=frame" "$1" "$1" "$1" "$1"
}

# name | frames a second | width | JPEG quality of ffmpeg, 2 best to 31 | filters
variants() {
  local on=0.25 pump='exp(-mod(t,7)/0.7)'
  # The set that settings were found with.
  echo "plain|10|1280|5|null"
  echo "steps-up|10|1280|5|eq=brightness='$on*$(square 10 0)':eval=frame"
  echo "steps-down|10|1280|5|eq=brightness='-$on*$(square 10 3)':eval=frame"
  echo "gain-steps|10|1280|5|$(gain "1-0.45*$(square 7 0)")"
  echo "ramps|10|1280|5|eq=brightness='0.25*sin(2*PI*t/40)':eval=frame"
  echo "infra-red|10|1280|5|$(infrared "$(square 22 0)")"
  echo "noise|10|1280|5|noise=alls=20:allf=t"
  echo "night|10|1280|8|$(gain 0.35),noise=alls=40:allf=t"
  echo "pumping|10|1280|5|$(gain "1+0.3*$pump")"
  echo "all|10|1280|5|eq=brightness='-0.25*$(square 11 2)':eval=frame,$(infrared "$(square 31 5)"),noise=alls=20:allf=t"
  echo "lamp|10|1280|5|vignette=a='PI/7*(0.01+min(1,max(0,mod(t,16)-9)/1.5))':x0=w/4:y0=h/4:eval=frame"
  echo "cheap|10|640|24|null"
  # The set that they were then held to.
  echo "h-mirrored|10|1280|5|hflip,eq=brightness='0.3*$(square 8 5)':eval=frame"
  echo "h-steps-30|10|1280|5|eq=brightness='-0.3*$(square 6 1)':eval=frame,noise=alls=10:allf=t:all_seed=77"
  echo "h-gamma|10|1280|5|eq=gamma='1+0.8*$(square 9 4)':eval=frame"
  echo "h-contrast|10|1280|5|eq=contrast='1+0.4*sin(2*PI*t/25)':brightness='0.1*sin(2*PI*t/17)':eval=frame"
  echo "h-ramp-gain|10|1280|5|$(gain "0.65+0.35*cos(2*PI*t/40)")"
  echo "h-infra-red|10|1280|5|hflip,$(infrared "$(square 13 6)"),noise=alls=12:allf=t:all_seed=5"
  echo "h-night|10|1280|12|$(gain 0.3),noise=alls=50:allf=t:all_seed=9"
  echo "h-pumping|15|1280|5|$(gain "1-0.35*exp(-mod(t,4)/0.5)"),noise=alls=8:allf=t"
  echo "h-lamp|10|1280|5|vignette=a='PI/7*(0.01+$(square 9 4))':x0=0.7*w:y0=0.6*h:eval=frame,noise=alls=10:allf=t"
  echo "h-strong-lamp|10|1280|5|vignette=a='PI/4*(0.01+$(square 9 4))':x0=0.7*w:y0=0.6*h:eval=frame"
  echo "h-cheap|10|640|28|eq=brightness='0.2*$(square 9 0)':eval=frame,noise=alls=15:allf=t"
  echo "h-5fps|5|1280|5|eq=brightness='-$on*$(square 10 3)':eval=frame,noise=alls=10:allf=t"
  echo "h-15fps|15|640|6|$(infrared "$(square 17 2)")"
  echo "h-25fps|25|1280|5|eq=brightness='$on*$(square 7 1)':eval=frame,noise=alls=14:allf=t"
  echo "h-30fps|30|640|6|eq=brightness='0.2*sin(2*PI*t/40)':eval=frame,noise=alls=20:allf=t"
  echo "h-small|10|320|6|eq=brightness='-0.2*$(square 10 3)':eval=frame"
  echo "h-shaken|10|1280|5|crop=iw-24:ih-14:12+2*sin(7*t):7+1.5*cos(11*t)"
  # The set that nothing but speed was changed after.
  echo "x-steps|10|1280|5|eq=brightness='0.28*$(square 5 2)-0.2*$(square 13 1)':eval=frame,noise=alls=8:allf=t:all_seed=3"
  echo "x-gain-up|10|1280|5|$(gain "1+0.4*$(square 12 7)")"
  echo "x-infra-red|10|1280|6|$(infrared "$(square 9 1)"),noise=alls=25:allf=t:all_seed=21"
  echo "x-fast-ramps|10|1280|5|eq=brightness='0.3*sin(2*PI*t/20)':eval=frame"
  echo "x-night|15|640|7|$(gain 0.32),noise=alls=40:allf=t:all_seed=4"
  echo "x-pumping|10|1280|5|$(gain "1+0.45*exp(-mod(t+2,5)/1.2)"),noise=alls=10:allf=t:all_seed=8"
  echo "x-25fps|25|1280|6|hflip,eq=gamma='1+0.7*$(square 8 3)':eval=frame,noise=alls=20:allf=t:all_seed=6"
  echo "x-lamp|10|1280|5|vignette=a='PI/7*(0.01+min(1,max(0,mod(t,19)-8)/3))':x0=0.3*w:y0=0.7*h:eval=frame"
  echo "x-zoom|10|1280|5|crop=iw*0.75:ih*0.75:iw*0.2:ih*0.2,eq=brightness='-0.27*$(square 10 6)':eval=frame"
  echo "x-far|10|1280|5|scale=iw/2:-2,pad=2*iw:2*ih:iw/2:ih/2:color=gray,eq=brightness='0.22*$(square 11 4)':eval=frame,noise=alls=10:allf=t"
}

make() { # FROM TO FPS WIDTH QUALITY FILTERS
  if [ -s "$2" ]; then return; fi
  ffmpeg -nostdin -v error -y -i "$1" -an \
    -vf "fps=$3,scale=$4:-2:flags=bilinear,setsar=1,$6,format=yuvj422p" \
    -c:v mjpeg -q:v "$5" -f mjpeg "$2.part"
  mv "$2.part" "$2"
}

empty=$dir/empty.mkv
if [ ! -s "$empty" ]; then
  ffmpeg -nostdin -v error -y -t 5 -i "$clip" -an \
    -filter_complex '[0:v]split[a][b];[b]reverse[r];[a][r]concat=n=2,loop=loop=5:size=100:start=0,setpts=N/(10*TB)' \
    -r 10 -c:v ffv1 -f matroska "$empty.part"
  mv "$empty.part" "$empty"
fi
: >"$dir/variants.txt"
while IFS='|' read -r name fps width quality filters; do
  echo "$name $fps" >>"$dir/variants.txt"
  if [ "$wanted" != "  " ] && [ "${wanted/ $name /}" = "$wanted" ]; then continue; fi
  make "$clip" "$dir/$name.visits.mjpeg" "$fps" "$width" "$quality" "$filters"
  make "$empty" "$dir/$name.empty.mjpeg" "$fps" "$width" "$quality" "$filters"
done < <(variants)
