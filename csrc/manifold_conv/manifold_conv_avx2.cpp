// Compiled with AVX2 and FMA: nothing here may run before manifold_conv_cpu.cpp has checked that the processor has
// both.
#include "manifold_conv_kernels.h"

namespace fer3d {
const ConvKernels<float> conv_kernels_avx2 = Loops<float, 32, 6, 2>::table();
}  // namespace fer3d
