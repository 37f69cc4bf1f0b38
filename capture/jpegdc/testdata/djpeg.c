/*
 * The peer of BenchmarkDecode: libjpeg-turbo over all frames of an MJPEG file in
 * memory, at 1/8 of their size and grey, as `djpeg -scale 1/8 -grayscale` does,
 * with its fastest settings. Chroma is entropy-decoded, as it must be, and no more.
 *
 * usage: djpeg FILE FRAMES
 *
 * Prints the number of frames in the file, the CPU microseconds of a frame over the
 * FRAMES frames decoded, and the sum of a frame's luma, averaged over the file.
 */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include <jpeglib.h>

static double cpu_microseconds(void)
{
	struct timespec t;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t);
	return t.tv_sec * 1e6 + t.tv_nsec / 1e3;
}

/* decode reads one picture and returns where the next begins. */
static const unsigned char *decode(j_decompress_ptr c, const unsigned char *at, const unsigned char *end,
				   JSAMPROW row, long long *sum)
{
	jpeg_mem_src(c, at, end - at);
	jpeg_read_header(c, TRUE);
	c->scale_num = 1;
	c->scale_denom = 8;
	c->out_color_space = JCS_GRAYSCALE;
	c->dct_method = JDCT_FASTEST;
	c->do_fancy_upsampling = FALSE;
	c->do_block_smoothing = FALSE;
	jpeg_start_decompress(c);
	while (c->output_scanline < c->output_height) {
		jpeg_read_scanlines(c, &row, 1);
		for (JDIMENSION x = 0; sum && x < c->output_width; x++)
			*sum += row[x];
	}
	jpeg_finish_decompress(c);
	return c->src->next_input_byte;
}

int main(int argc, char **argv)
{
	struct jpeg_decompress_struct c;
	struct jpeg_error_mgr errors;
	static JSAMPLE row[8192];

	if (argc != 3)
		return 2;
	FILE *f = fopen(argv[1], "rb");
	if (!f || fseek(f, 0, SEEK_END))
		return perror(argv[1]), 1;
	long size = ftell(f);
	rewind(f);
	unsigned char *data = malloc(size);
	if (!data || fread(data, 1, size, f) != (size_t)size)
		return perror(argv[1]), 1;
	const unsigned char *end = data + size;

	c.err = jpeg_std_error(&errors);
	jpeg_create_decompress(&c);
	long long sum = 0;
	long frames = 0, n = atol(argv[2]);
	for (const unsigned char *at = data; at < end; frames++)
		at = decode(&c, at, end, row, &sum);

	const unsigned char *at = data;
	double before = cpu_microseconds();
	for (long i = 0; i < n; i++) {
		if (at >= end)
			at = data;
		at = decode(&c, at, end, row, NULL);
	}
	printf("%ld %.1f %lld\n", frames, (cpu_microseconds() - before) / n, sum / frames);
	return 0;
}
