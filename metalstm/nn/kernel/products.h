/* Sums of small matrix products for float32, with the weights packed once for many time steps. */

#include <stdint.h>

/* The shape of a register tile: TILE_ROWS rows by WIDE columns of accumulators fill the vector registers. */
#if defined(__AVX512F__)
#define LANES 16
#define TILE_VECTORS 4
#elif defined(__AVX__)
#define LANES 8
#define TILE_VECTORS 2
#else
#define LANES 4
#define TILE_VECTORS 2
#endif
#define TILE_ROWS 6
#define WIDE (TILE_VECTORS * LANES)

typedef float vector __attribute__((vector_size(4 * LANES), aligned(4), may_alias));

static int64_t padded(int64_t columns) { return (columns + LANES - 1) / LANES * LANES; }

/* One term of a sum of products: rows [R, depth], `step` floats apart, times packed weights [depth, columns]. */
typedef struct {
    const float *rows;
    int64_t depth;
    const float *weights;
} Term;

/* Columns come in panels, WIDE of them while as many are left, then LANES. A panel is stored as [depth, its width], so
   the panel that begins at column n begins at n * depth. */
static int64_t panel_width(int64_t column, int64_t columns) { return column + WIDE <= columns ? WIDE : LANES; }

/* Packs a matrix [depth, columns] whose entry (k, n) lies at source[k * along_depth + n * along_columns]. */
static void pack(const float *source, int64_t depth, int64_t columns, int64_t along_depth, int64_t along_columns,
                 float *packed) {
    int64_t all = padded(columns), width;
    for (int64_t start = 0; start < all; start += width) {
        width = panel_width(start, all);
        float *panel = packed + start * depth;
        for (int64_t k = 0; k < depth; k++)
            for (int64_t n = 0; n < width; n++)
                panel[k * width + n] =
                    start + n < columns ? source[k * along_depth + (start + n) * along_columns] : 0.0f;
    }
}

static inline __attribute__((always_inline)) void tile(const int rows, const int vectors, const Term *terms, int count,
                                                       int64_t row, int64_t column, const float *start, float *result,
                                                       int64_t columns) {
    vector sums[TILE_ROWS][TILE_VECTORS];
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++)
            sums[r][v] = start ? *(const vector *)(start + column + v * LANES) : (vector){0};
    for (int t = 0; t < count; t++) {
        int64_t depth = terms[t].depth;
        const float *left = terms[t].rows + row * depth;
        const float *panel = terms[t].weights + column * depth;
        for (int64_t k = 0; k < depth; k++) {
            vector weights[TILE_VECTORS];
#pragma GCC unroll 8
            for (int v = 0; v < vectors; v++)
                weights[v] = *(const vector *)(panel + (k * vectors + v) * LANES);
#pragma GCC unroll 8
            for (int r = 0; r < rows; r++) {
                float value = left[r * depth + k];
#pragma GCC unroll 8
                for (int v = 0; v < vectors; v++)
                    sums[r][v] += value * weights[v];
            }
        }
    }
#pragma GCC unroll 8
    for (int r = 0; r < rows; r++)
#pragma GCC unroll 8
        for (int v = 0; v < vectors; v++)
            *(vector *)(result + (row + r) * columns + column + v * LANES) = sums[r][v];
}

#define TILE_OF(rows, vectors) tile(rows, vectors, terms, count, row, column, start, result, columns)
#define TILE_OF_ROWS(rows)                        \
    case rows:                                    \
        if (width == WIDE)                        \
            TILE_OF(rows, TILE_VECTORS);          \
        else                                      \
            TILE_OF(rows, 1);                     \
        break;

/* result [R, columns] = start + the sum of terms; `columns` a multiple of LANES, `start` [columns] or NULL for zero. */
static void multiply(const Term *terms, int count, int64_t rows, int64_t columns, const float *start, float *result) {
    int64_t width;
    for (int64_t column = 0; column < columns; column += width) {
        width = panel_width(column, columns);
        for (int64_t row = 0; row < rows; row += TILE_ROWS)
            switch (rows - row) {
                TILE_OF_ROWS(1)
                TILE_OF_ROWS(2)
                TILE_OF_ROWS(3)
                TILE_OF_ROWS(4)
                TILE_OF_ROWS(5)
            default:
                if (width == WIDE)
                    TILE_OF(TILE_ROWS, TILE_VECTORS);
                else
                    TILE_OF(TILE_ROWS, 1);
            }
    }
}
