// Compiled with AVX-512F: nothing here may run before manifold_conv_cpu.cpp has checked that the processor has it.
#include "manifold_conv_kernels.h"

namespace fer3d {
const ConvKernels<float> conv_kernels_avx512 = Loops<float, 64, 12, 2>::table();
}  // namespace fer3d
