/* The pointwise functions of cells.py for one row of H units; names, shapes and mathematics are theirs. */

#include <math.h>
#include <stdint.h>
#include <string.h>

#define IN const float *restrict
#define OUT float *restrict

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
    n = n == n ? n : 0.0f; /* as an integer, not-a-number is undefined; p and r hand it on */
    union {
        int32_t bits;
        float value;
    } power = {.bits = ((int32_t)n + 127) << 23};
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

/* The four gates of a unit lie H apart in one row: the pragma says that units do not depend on each other. */
#define ALL_UNITS(k) _Pragma("omp simd") for (int64_t k = 0; k < H; k++)

static void forward_cell(int64_t H, IN z, IN c_before, OUT gates, OUT c, OUT h) {
    ALL_UNITS(k) {
        float i = sigmoid(z[k]);
        float f = sigmoid(z[H + k]);
        float g = hyperbolic_tangent(z[2 * H + k]);
        float o = sigmoid(z[3 * H + k]);
        float cell = f * c_before[k] + i * g;
        gates[k] = i;
        gates[H + k] = f;
        gates[2 * H + k] = g;
        gates[3 * H + k] = o;
        c[k] = cell;
        h[k] = o * hyperbolic_tangent(cell);
    }
}

/* A step beyond the end of its sequence: forgets nothing, takes nothing in, shows nothing. */
static void resting_cell(int64_t H, IN c_before, OUT gates, OUT c, OUT h) {
    memset(gates, 0, 4 * H * sizeof(float));
    for (int64_t k = 0; k < H; k++)
        gates[H + k] = 1.0f;
    memcpy(c, c_before, H * sizeof(float));
    memset(h, 0, H * sizeof(float));
}

static void backward_cell(int64_t H, IN gates, IN c, IN c_before, IN d_h, OUT d_c, OUT d_z) {
    ALL_UNITS(k) {
        float i = gates[k], f = gates[H + k], g = gates[2 * H + k], o = gates[3 * H + k];
        float t = hyperbolic_tangent(c[k]);
        float whole = d_c[k] + d_h[k] * o * (1.0f - t * t);
        d_c[k] = whole * f;
        d_z[k] = whole * g * i * (1.0f - i);
        d_z[H + k] = whole * c_before[k] * f * (1.0f - f);
        d_z[2 * H + k] = whole * i * (1.0f - g * g);
        d_z[3 * H + k] = d_h[k] * t * o * (1.0f - o);
    }
}

static void tangent_forward_cell(int64_t H, IN z_dot, IN gates, IN c, IN c_before, IN c_dot_before, OUT gates_dot,
                                 OUT c_dot, OUT h_dot) {
    ALL_UNITS(k) {
        float i = gates[k], f = gates[H + k], g = gates[2 * H + k], o = gates[3 * H + k];
        float i_dot = z_dot[k] * i * (1.0f - i);
        float f_dot = z_dot[H + k] * f * (1.0f - f);
        float g_dot = z_dot[2 * H + k] * (1.0f - g * g);
        float o_dot = z_dot[3 * H + k] * o * (1.0f - o);
        float dot = f_dot * c_before[k] + f * c_dot_before[k] + i_dot * g + i * g_dot;
        float t = hyperbolic_tangent(c[k]);
        gates_dot[k] = i_dot;
        gates_dot[H + k] = f_dot;
        gates_dot[2 * H + k] = g_dot;
        gates_dot[3 * H + k] = o_dot;
        c_dot[k] = dot;
        h_dot[k] = o_dot * t + o * (1.0f - t * t) * dot;
    }
}

static void tangent_backward_cell(int64_t H, IN gates, IN c, IN c_before, IN gates_dot, IN c_dot, IN c_dot_before,
                                  IN d_h, IN d_c_after, IN d_h_dot, OUT d_c_dot, OUT d_z_dot) {
    ALL_UNITS(k) {
        float i = gates[k], f = gates[H + k], g = gates[2 * H + k], o = gates[3 * H + k];
        float i_dot = gates_dot[k], f_dot = gates_dot[H + k];
        float g_dot = gates_dot[2 * H + k], o_dot = gates_dot[3 * H + k];
        float t = hyperbolic_tangent(c[k]);
        float slope = 1.0f - t * t;
        float t_dot = slope * c_dot[k];
        float whole = d_c_after[k] + d_h[k] * o * slope;
        float whole_dot =
            d_c_dot[k] + (d_h_dot[k] * o + d_h[k] * o_dot) * slope - 2.0f * d_h[k] * o * t * t_dot;
        d_c_dot[k] = whole_dot * f + whole * f_dot;
        d_z_dot[k] = (whole_dot * g + whole * g_dot) * i * (1.0f - i) + whole * g * (1.0f - 2.0f * i) * i_dot;
        d_z_dot[H + k] = (whole_dot * c_before[k] + whole * c_dot_before[k]) * f * (1.0f - f) +
                         whole * c_before[k] * (1.0f - 2.0f * f) * f_dot;
        d_z_dot[2 * H + k] = (whole_dot * i + whole * i_dot) * (1.0f - g * g) - 2.0f * whole * i * g * g_dot;
        d_z_dot[3 * H + k] =
            (d_h_dot[k] * t + d_h[k] * t_dot) * o * (1.0f - o) + d_h[k] * t * (1.0f - 2.0f * o) * o_dot;
    }
}
