// What library.py asks the library before it registers the handlers.

#include "kernels.h"
#include "xla/ffi/api/c_api.h"

extern "C" {

int jnas_ffi_major() { return XLA_FFI_API_MAJOR; }
int jnas_ffi_minor() { return XLA_FFI_API_MINOR; }
const char* jnas_instruction_set() { return jnas::TargetName(); }
}
