# Compiler settings every target of ours takes from engraft_compiler, and ccache where it is present.
find_program(ENGRAFT_CCACHE ccache)
if(ENGRAFT_CCACHE AND NOT CMAKE_CXX_COMPILER_LAUNCHER)
  set(CMAKE_C_COMPILER_LAUNCHER "${ENGRAFT_CCACHE}")
  set(CMAKE_CXX_COMPILER_LAUNCHER "${ENGRAFT_CCACHE}")
endif()

# What is hot is LibTorch's, or asks for more itself (image/filter.cpp); -O3 here costs build time alone.
set(CMAKE_CXX_FLAGS_RELEASE "-O2 -DNDEBUG")

add_library(engraft_compiler INTERFACE)
target_include_directories(engraft_compiler INTERFACE "${CMAKE_SOURCE_DIR}/src")
target_compile_options(engraft_compiler INTERFACE -Wall -Wextra -Wshadow -Wno-unused-parameter
  $<$<BOOL:${ENGRAFT_WERROR}>:-Werror>)
# Floating-point results must not depend on the optimiser's mood: no contraction outside what the source says.
target_compile_options(engraft_compiler INTERFACE -ffp-contract=off)
if(ENGRAFT_SANITIZE)
  target_compile_options(engraft_compiler INTERFACE -fsanitize=${ENGRAFT_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(engraft_compiler INTERFACE -fsanitize=${ENGRAFT_SANITIZE})
endif()

# One layout in the build tree and once installed: bin/engraft, libexec/engraft/…
set(CMAKE_RUNTIME_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/bin")
set(CMAKE_LIBRARY_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")
set(CMAKE_ARCHIVE_OUTPUT_DIRECTORY "${CMAKE_BINARY_DIR}/lib")
