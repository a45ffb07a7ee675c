/* The four sweeps of passes.py for float32 on a CPU: whole sequences, with the matrix products of the recurrence and the
   pointwise cells fused, so that a time step stays in the nearest cache.

   Names, shapes and mathematics: see passes.py and cells.py, which is what these must agree with. All tensors are
   contiguous. The rows of different examples never meet within a sweep: a thread takes a block of rows of one group
   through all time steps, and the result does not depend on the number of threads.

   Every sweep returns 0, or 1 if there was no memory for its scratch space. */

#include <stdlib.h>

#include "cells.h"
#include "products.h"

#define BLOCK_ROWS 48
#define FLOPS_WORTH_A_THREAD 200000

/* Sizes and tensors of a sweep, named as in passes.py; those that a sweep does not name are not looked at. */
typedef struct {
    int64_t threads, G, S, B, F, H;
    int64_t first, after, Z, to_start; /* of the sweeps backwards */
    int64_t last;           /* d_states and d_states_dot are of the last states alone: [G, B, H] */
    const int64_t *lengths; /* [G, B]; NULL: S everywhere */
    const float *inputs, *w_x, *w_h, *bias;
    float *gates, *h, *c;
    const float *d_states;         /* NULL: zero */
    float *d_h, *d_c_after;        /* NULL: not kept */
    float *d_z, *arriving, *d_c;
    const float *v_inputs;         /* NULL: zero */
    const float *v_x, *v_h, *v_bias;
    float *gates_dot, *h_dot, *c_dot;
    const float *d_states_dot;     /* NULL: zero */
    float *d_z_dot, *arriving_dot, *d_c_dot;
} Sweep;

/* What a thread works on at a time: `rows` examples of group g, from `first` on. */
typedef struct {
    int64_t g, first, rows;
} Block;

static int64_t tiles_per_group(const Sweep *n) { return (n->B + TILE_ROWS - 1) / TILE_ROWS; }

/* As few blocks as keep a block small, but as many as share the work out evenly among the threads. */
static int64_t blocks_per_group(const Sweep *n) {
    int64_t blocks = (n->B + BLOCK_ROWS - 1) / BLOCK_ROWS, tiles = tiles_per_group(n);
    while (n->G * blocks < 8 * n->threads && n->G * blocks % n->threads != 0 && blocks < tiles)
        blocks++;
    return blocks;
}

static Block block_number(const Sweep *n, int64_t index) {
    int64_t blocks = blocks_per_group(n), b = index % blocks;
    int64_t tiles = tiles_per_group(n); /* whole tiles are shared out, so that few are cut */
    int64_t first = b * tiles / blocks * TILE_ROWS, after = (b + 1) * tiles / blocks * TILE_ROWS;
    return (Block){index / blocks, first, (after < n->B ? after : n->B) - first};
}

typedef void (*PackGroup)(const Sweep *n, int64_t g, float *packed);
typedef void (*RunBlock)(const Sweep *n, Block block, const float *packed, float *scratch);

/* Runs all blocks, in threads that each have room for a group's packed weights and for `width` floats a row.
   `depth` and `columns` are those of one step's products. */
static int run(const Sweep *n, int64_t depth, int64_t columns, PackGroup pack_group, RunBlock run_block) {
    int64_t blocks = n->G * blocks_per_group(n), width = padded(columns);
    int64_t worth = 1 + (int64_t)(2.0 * n->G * n->S * n->B * depth * columns / FLOPS_WORTH_A_THREAD);
    int64_t threads = n->threads < blocks ? n->threads : blocks;
    threads = threads < worth ? threads : worth;
    int failed = 0;
#pragma omp parallel num_threads((int)threads)
    {
        float *packed = malloc((depth + 1 + BLOCK_ROWS + TILE_ROWS) * width * sizeof(float));
        float *scratch = packed + (depth + 1) * width;
        int64_t packed_for = -1;
        if (!packed) {
#pragma omp atomic write
            failed = 1;
        }
#pragma omp for schedule(static)
        for (int64_t index = 0; index < blocks; index++) {
            Block block = block_number(n, index);
            if (!packed)
                continue;
            if (block.g != packed_for)
                pack_group(n, block.g, packed);
            packed_for = block.g;
            run_block(n, block, packed, scratch);
        }
        free(packed);
    }
    return failed;
}

/* Row r of a block at step s of a tensor [G, steps, B, width]. */
#define ROW(tensor, steps, s, r, width) ((tensor) + ((block.g * (steps) + (s)) * n->B + block.first + (r)) * (width))
#define LENGTH(r) (n->lengths ? *ROW(n->lengths, 1, 0, r, 1) : S)

/* Adds what the states' own derivative brings to step s. */
static void add_states(const Sweep *n, Block block, const float *d_states, int64_t s, float *total, int64_t width) {
    const int64_t S = n->S, H = n->H;
    for (int64_t r = 0; d_states && r < block.rows; r++) {
        if (n->last ? s != LENGTH(r) - 1 : s >= LENGTH(r))
            continue;
        const float *own = n->last ? ROW(d_states, 1, 0, r, H) : ROW(d_states, S, s, r, H);
        for (int64_t k = 0; k < H; k++)
            total[r * width + k] += own[k];
    }
}

/* Copies rows [R, H] that lie `from_width` floats apart to where they lie `to_width` apart. */
static void copy_rows(int64_t rows, int64_t H, const float *from, int64_t from_width, float *to, int64_t to_width) {
    for (int64_t r = 0; r < rows; r++)
        memcpy(to + r * to_width, from + r * from_width, H * sizeof(float));
}

static void pack_bias(const float *bias, int64_t g, int64_t L, float *packed) {
    memset(packed, 0, padded(L) * sizeof(float));
    memcpy(packed, bias + g * L, L * sizeof(float));
}

/* Weights [G, L, K] as the right side of a product with W' and with W. */
static void pack_transposed(const float *weights, int64_t g, int64_t L, int64_t K, float *packed) {
    pack(weights + g * L * K, K, L, 1, K, packed);
}

static void pack_plain(const float *weights, int64_t g, int64_t L, int64_t K, float *packed) {
    pack(weights + g * L * K, L, K, K, 1, packed);
}

static void forward_pack(const Sweep *n, int64_t g, float *packed) {
    const int64_t F = n->F, H = n->H, N = padded(4 * H);
    pack_bias(n->bias, g, 4 * H, packed);
    pack_transposed(n->w_x, g, 4 * H, F, packed + N);
    pack_transposed(n->w_h, g, 4 * H, H, packed + (1 + F) * N);
}

static void forward_block(const Sweep *n, Block block, const float *packed, float *z) {
    const int64_t S = n->S, F = n->F, H = n->H, N = padded(4 * H);
    for (int64_t s = 0; s < S; s++) {
        const Term terms[] = {{ROW(n->inputs, S, s, 0, F), F, packed + N},
                              {ROW(n->h, S + 1, s, 0, H), H, packed + (1 + F) * N}};
        multiply(terms, 2, block.rows, N, packed, z);
        for (int64_t r = 0; r < block.rows; r++) {
            float *gates = ROW(n->gates, S, s, r, 4 * H), *h = ROW(n->h, S + 1, s + 1, r, H);
            float *c_before = ROW(n->c, S + 1, s, r, H), *c = ROW(n->c, S + 1, s + 1, r, H);
            if (s < LENGTH(r))
                forward_cell(H, z + r * N, c_before, gates, c, h);
            else
                resting_cell(H, c_before, gates, c, h);
        }
    }
}

int forward_sweep(const Sweep *n) { return run(n, n->F + n->H, 4 * n->H, forward_pack, forward_block); }

static void backward_pack(const Sweep *n, int64_t g, float *packed) { pack_plain(n->w_h, g, 4 * n->H, n->H, packed); }

static void backward_block(const Sweep *n, Block block, const float *packed, float *arriving) {
    const int64_t S = n->S, H = n->H, Z = n->Z, N = padded(H), R = block.rows;
    float *carried = ROW(n->arriving, 1, 0, 0, H), *d_c = ROW(n->d_c, 1, 0, 0, H);
    copy_rows(R, H, carried, H, arriving, N);
    for (int64_t s = n->after - 1; s >= n->first; s--) {
        add_states(n, block, n->d_states, s, arriving, N);
        if (n->d_h) {
            copy_rows(R, H, arriving, N, ROW(n->d_h, S, s, 0, H), H);
            copy_rows(R, H, d_c, H, ROW(n->d_c_after, S, s, 0, H), H);
        }
        float *d_z = ROW(n->d_z, Z, s % Z, 0, 4 * H);
        for (int64_t r = 0; r < R; r++)
            backward_cell(H, ROW(n->gates, S, s, r, 4 * H), ROW(n->c, S + 1, s + 1, r, H), ROW(n->c, S + 1, s, r, H),
                          arriving + r * N, d_c + r * H, d_z + r * 4 * H);
        if (s > 0 || n->to_start) {
            const Term terms[] = {{d_z, 4 * H, packed}};
            multiply(terms, 1, R, N, NULL, arriving);
        }
    }
    copy_rows(R, H, arriving, N, carried, H);
}

int backward_sweep(const Sweep *n) { return run(n, 4 * n->H, n->H, backward_pack, backward_block); }

static void tangent_forward_pack(const Sweep *n, int64_t g, float *packed) {
    const int64_t F = n->F, H = n->H, N = padded(4 * H);
    pack_bias(n->v_bias, g, 4 * H, packed);
    pack_transposed(n->v_x, g, 4 * H, F, packed + N);
    pack_transposed(n->v_h, g, 4 * H, H, packed + (1 + F) * N);
    pack_transposed(n->w_h, g, 4 * H, H, packed + (1 + F + H) * N);
    if (n->v_inputs)
        pack_transposed(n->w_x, g, 4 * H, F, packed + (1 + F + 2 * H) * N);
}

static void tangent_forward_block(const Sweep *n, Block block, const float *packed, float *z_dot) {
    const int64_t S = n->S, F = n->F, H = n->H, N = padded(4 * H);
    for (int64_t s = 0; s < S; s++) {
        const Term terms[] = {{ROW(n->inputs, S, s, 0, F), F, packed + N},
                              {ROW(n->h, S + 1, s, 0, H), H, packed + (1 + F) * N},
                              {ROW(n->h_dot, S + 1, s, 0, H), H, packed + (1 + F + H) * N},
                              {n->v_inputs ? ROW(n->v_inputs, S, s, 0, F) : NULL, F, packed + (1 + F + 2 * H) * N}};
        multiply(terms, n->v_inputs ? 4 : 3, block.rows, N, packed, z_dot);
        for (int64_t r = 0; r < block.rows; r++)
            tangent_forward_cell(H, z_dot + r * N, ROW(n->gates, S, s, r, 4 * H), ROW(n->c, S + 1, s + 1, r, H),
                                 ROW(n->c, S + 1, s, r, H), ROW(n->c_dot, S + 1, s, r, H),
                                 ROW(n->gates_dot, S, s, r, 4 * H), ROW(n->c_dot, S + 1, s + 1, r, H),
                                 ROW(n->h_dot, S + 1, s + 1, r, H));
    }
}

int tangent_forward_sweep(const Sweep *n) {
    int64_t depth = n->F + 2 * n->H + (n->v_inputs ? n->F : 0);
    return run(n, depth, 4 * n->H, tangent_forward_pack, tangent_forward_block);
}

static void tangent_backward_pack(const Sweep *n, int64_t g, float *packed) {
    const int64_t H = n->H, N = padded(H);
    pack_plain(n->v_h, g, 4 * H, H, packed);
    pack_plain(n->w_h, g, 4 * H, H, packed + 4 * H * N);
}

static void tangent_backward_block(const Sweep *n, Block block, const float *packed, float *arriving) {
    const int64_t S = n->S, H = n->H, Z = n->Z, N = padded(H), R = block.rows;
    float *carried = ROW(n->arriving_dot, 1, 0, 0, H);
    copy_rows(R, H, carried, H, arriving, N);
    for (int64_t s = n->after - 1; s >= n->first; s--) {
        add_states(n, block, n->d_states_dot, s, arriving, N);
        const float *d_z = ROW(n->d_z, S, s, 0, 4 * H);
        float *d_z_dot = ROW(n->d_z_dot, Z, s % Z, 0, 4 * H);
        for (int64_t r = 0; r < R; r++)
            tangent_backward_cell(H, ROW(n->gates, S, s, r, 4 * H), ROW(n->c, S + 1, s + 1, r, H),
                                  ROW(n->c, S + 1, s, r, H), ROW(n->gates_dot, S, s, r, 4 * H),
                                  ROW(n->c_dot, S + 1, s + 1, r, H), ROW(n->c_dot, S + 1, s, r, H),
                                  ROW(n->d_h, S, s, r, H), ROW(n->d_c_after, S, s, r, H), arriving + r * N,
                                  ROW(n->d_c_dot, 1, 0, r, H), d_z_dot + r * 4 * H);
        if (s > 0 || n->to_start) {
            const Term terms[] = {{d_z, 4 * H, packed}, {d_z_dot, 4 * H, packed + 4 * H * N}};
            multiply(terms, 2, R, N, NULL, arriving);
        }
    }
    copy_rows(R, H, arriving, N, carried, H);
}

int tangent_backward_sweep(const Sweep *n) {
    return run(n, 8 * n->H, n->H, tangent_backward_pack, tangent_backward_block);
}
