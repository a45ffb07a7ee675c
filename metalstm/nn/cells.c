/* The four functions of cells.py for float32 on a CPU, each fused into one pass over memory.

   A tensor [G, B, K] comes as a pointer and the distance between its groups (in floats); the rows of a group are
   contiguous. Names, shapes and mathematics: see cells.py, which is what these must agree with. */

#include <math.h>
#include <stdint.h>

#define IN const float *restrict
#define OUT float *restrict
#define FLOATS_WORTH_A_THREAD 4096

/* Coefficients of exp and tanh: Moshier's Cephes library, single precision (1989). */

static inline float exponential(float x) {
    x = x > 88.0f ? 88.0f : x;
    x = x < -87.0f ? -87.0f : x;
    float n = nearbyintf(x * 1.44269504088896341f);
    float r = x - n * 0.693359375f + n * 2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    union { int32_t bits; float value; } power = {.bits = ((int32_t)n + 127) << 23};
    return (p * r * r + r + 1.0f) * power.value;
}

static inline float sigmoid(float x) { return 1.0f / (1.0f + exponential(-x)); }

static inline float hyperbolic_tangent(float x) {
    float z = x * x;
    float p = -5.70498872745e-3f;
    p = p * z + 2.06390887954e-2f;
    p = p * z - 5.37397155531e-2f;
    p = p * z + 1.33314422036e-1f;
    p = p * z - 3.33332819422e-1f;
    float near_zero = p * z * x + x;
    float elsewhere = 1.0f - 2.0f / (exponential(2.0f * x) + 1.0f);
    return fabsf(x) < 0.625f ? near_zero : elsewhere;
}

#define ALL_ROWS(row)                                                                        \
    _Pragma("omp parallel for schedule(static) if (G * B * H >= 2 * FLOATS_WORTH_A_THREAD)") \
    for (int64_t row = 0; row < G * B; row++)
/* The four gates of a unit lie H apart in one row: the pragma says that units do not depend on each other. */
#define ALL_UNITS(k) _Pragma("omp simd") for (int64_t k = 0; k < H; k++)
#define AT(tensor, width) (tensor + (row / B) * tensor##_group + (row % B) * (width))

void forward_cell(int64_t G, int64_t B, int64_t H, IN product, int64_t product_group, IN c_before,
                  int64_t c_before_group, float *gates, int64_t gates_group, float *c, int64_t c_group, float *h,
                  int64_t h_group) {
    ALL_ROWS(row) {
        IN p = AT(product, 4 * H);
        IN before = AT(c_before, H);
        OUT a = AT(gates, 4 * H);
        OUT after = AT(c, H);
        OUT state = AT(h, H);
        ALL_UNITS(k) {
            float i = sigmoid(a[k] + p[k]);
            float f = sigmoid(a[H + k] + p[H + k]);
            float g = hyperbolic_tangent(a[2 * H + k] + p[2 * H + k]);
            float o = sigmoid(a[3 * H + k] + p[3 * H + k]);
            float cell = f * before[k] + i * g;
            a[k] = i;
            a[H + k] = f;
            a[2 * H + k] = g;
            a[3 * H + k] = o;
            after[k] = cell;
            state[k] = o * hyperbolic_tangent(cell);
        }
    }
}

void backward_cell(int64_t G, int64_t B, int64_t H, IN gates, int64_t gates_group, IN c, int64_t c_group, IN c_before,
                   int64_t c_before_group, IN d_h, int64_t d_h_group, float *d_c, int64_t d_c_group, float *d_z,
                   int64_t d_z_group) {
    ALL_ROWS(row) {
        IN a = AT(gates, 4 * H);
        IN cell = AT(c, H);
        IN before = AT(c_before, H);
        IN dh = AT(d_h, H);
        OUT dc = AT(d_c, H);
        OUT dz = AT(d_z, 4 * H);
        ALL_UNITS(k) {
            float i = a[k], f = a[H + k], g = a[2 * H + k], o = a[3 * H + k];
            float t = hyperbolic_tangent(cell[k]);
            float whole = dc[k] + dh[k] * o * (1.0f - t * t);
            dc[k] = whole * f;
            dz[k] = whole * g * i * (1.0f - i);
            dz[H + k] = whole * before[k] * f * (1.0f - f);
            dz[2 * H + k] = whole * i * (1.0f - g * g);
            dz[3 * H + k] = dh[k] * t * o * (1.0f - o);
        }
    }
}

void tangent_forward_cell(int64_t G, int64_t B, int64_t H, IN product, int64_t product_group, IN gates,
                          int64_t gates_group, IN c, int64_t c_group, IN c_before, int64_t c_before_group,
                          IN c_dot_before, int64_t c_dot_before_group, float *gates_dot, int64_t gates_dot_group,
                          float *c_dot, int64_t c_dot_group, float *h_dot, int64_t h_dot_group) {
    ALL_ROWS(row) {
        IN p = AT(product, 4 * H);
        IN a = AT(gates, 4 * H);
        IN cell = AT(c, H);
        IN before = AT(c_before, H);
        IN before_dot = AT(c_dot_before, H);
        OUT a_dot = AT(gates_dot, 4 * H);
        OUT cell_dot = AT(c_dot, H);
        OUT state_dot = AT(h_dot, H);
        ALL_UNITS(k) {
            float i = a[k], f = a[H + k], g = a[2 * H + k], o = a[3 * H + k];
            float i_dot = (a_dot[k] + p[k]) * i * (1.0f - i);
            float f_dot = (a_dot[H + k] + p[H + k]) * f * (1.0f - f);
            float g_dot = (a_dot[2 * H + k] + p[2 * H + k]) * (1.0f - g * g);
            float o_dot = (a_dot[3 * H + k] + p[3 * H + k]) * o * (1.0f - o);
            float dot = f_dot * before[k] + f * before_dot[k] + i_dot * g + i * g_dot;
            float t = hyperbolic_tangent(cell[k]);
            a_dot[k] = i_dot;
            a_dot[H + k] = f_dot;
            a_dot[2 * H + k] = g_dot;
            a_dot[3 * H + k] = o_dot;
            cell_dot[k] = dot;
            state_dot[k] = o_dot * t + o * (1.0f - t * t) * dot;
        }
    }
}

void tangent_backward_cell(int64_t G, int64_t B, int64_t H, IN gates, int64_t gates_group, IN c, int64_t c_group,
                           IN c_before, int64_t c_before_group, IN gates_dot, int64_t gates_dot_group, IN c_dot,
                           int64_t c_dot_group, IN c_dot_before, int64_t c_dot_before_group, IN d_h,
                           int64_t d_h_group, IN d_c_after, int64_t d_c_after_group, IN d_h_dot, int64_t d_h_dot_group,
                           float *d_c_dot, int64_t d_c_dot_group, float *d_z_dot, int64_t d_z_dot_group) {
    ALL_ROWS(row) {
        IN a = AT(gates, 4 * H);
        IN cell = AT(c, H);
        IN before = AT(c_before, H);
        IN a_dot = AT(gates_dot, 4 * H);
        IN cell_dot = AT(c_dot, H);
        IN before_dot = AT(c_dot_before, H);
        IN dh = AT(d_h, H);
        IN dc = AT(d_c_after, H);
        IN dh_dot = AT(d_h_dot, H);
        OUT dc_dot = AT(d_c_dot, H);
        OUT dz_dot = AT(d_z_dot, 4 * H);
        ALL_UNITS(k) {
            float i = a[k], f = a[H + k], g = a[2 * H + k], o = a[3 * H + k];
            float i_dot = a_dot[k], f_dot = a_dot[H + k], g_dot = a_dot[2 * H + k], o_dot = a_dot[3 * H + k];
            float t = hyperbolic_tangent(cell[k]);
            float slope = 1.0f - t * t;
            float t_dot = slope * cell_dot[k];
            float whole = dc[k] + dh[k] * o * slope;
            float whole_dot =
                dc_dot[k] + (dh_dot[k] * o + dh[k] * o_dot) * slope - 2.0f * dh[k] * o * t * t_dot;
            dc_dot[k] = whole_dot * f + whole * f_dot;
            dz_dot[k] = (whole_dot * g + whole * g_dot) * i * (1.0f - i) + whole * g * (1.0f - 2.0f * i) * i_dot;
            dz_dot[H + k] = (whole_dot * before[k] + whole * before_dot[k]) * f * (1.0f - f) +
                            whole * before[k] * (1.0f - 2.0f * f) * f_dot;
            dz_dot[2 * H + k] = (whole_dot * i + whole * i_dot) * (1.0f - g * g) - 2.0f * whole * i * g * g_dot;
            dz_dot[3 * H + k] =
                (dh_dot[k] * t + dh[k] * t_dot) * o * (1.0f - o) + dh[k] * t * (1.0f - 2.0f * o) * o_dot;
        }
    }
}
