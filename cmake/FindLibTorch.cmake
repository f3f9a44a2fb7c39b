# Finds LibTorch 2.11 to 2.15 and makes the imported target LibTorch::cpu (c10 and torch_cpu, nothing of CUDA).
#
# Looked for, first found wins: Torch_DIR (the folder of TorchConfig.cmake), LIBTORCH (an unpacked LibTorch or a
# wheel's torch/ folder; CMake variable or environment), .venv of this checkout, the torch that python3 imports.
# Also LibTorch::cuda where LibTorch has it, and LibTorch::openmp, the OpenMP library that LibTorch itself loads, which
# sources compiled with -fopenmp link.
# Sets LibTorch_FOUND, LibTorch_ROOT, LibTorch_VERSION, LibTorch_MESSAGE.
#
# find_package(Torch) of a CUDA wheel demands a CUDA toolkit even for a program that only needs the CPU library, so
# the targets are made here from the files themselves.
set(LibTorch_MINIMUM 2.11)
set(LibTorch_BELOW 2.16)
set(_candidates "")
if(DEFINED Torch_DIR AND Torch_DIR)
  get_filename_component(_root "${Torch_DIR}/../../.." ABSOLUTE)
  list(APPEND _candidates "Torch_DIR|${_root}")
endif()
if(DEFINED LIBTORCH AND LIBTORCH)
  list(APPEND _candidates "LIBTORCH|${LIBTORCH}")
elseif(DEFINED ENV{LIBTORCH} AND NOT "$ENV{LIBTORCH}" STREQUAL "")
  list(APPEND _candidates "LIBTORCH|$ENV{LIBTORCH}")
endif()
file(GLOB _venv_roots "${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/torch")
foreach(_root IN LISTS _venv_roots)
  list(APPEND _candidates ".venv|${_root}")
endforeach()
find_program(ENGRAFT_PYTHON3 python3)
if(ENGRAFT_PYTHON3 AND NOT _candidates)
  execute_process(
    COMMAND "${ENGRAFT_PYTHON3}" -c
      "import importlib.util as u; s = u.find_spec('torch'); print(s.submodule_search_locations[0] if s else '')"
    OUTPUT_VARIABLE _root OUTPUT_STRIP_TRAILING_WHITESPACE ERROR_QUIET)
  if(_root)
    list(APPEND _candidates "python3|${_root}")
  endif()
endif()

set(LibTorch_FOUND FALSE)
set(LibTorch_MESSAGE "missing: LibTorch ${LibTorch_MINIMUM} to 2.15 (set Torch_DIR or LIBTORCH, or install the torch wheel for python3)")
foreach(_candidate IN LISTS _candidates)
  string(REPLACE "|" ";" _pair "${_candidate}")
  list(GET _pair 0 _how)
  list(GET _pair 1 _root)
  set(_version_header "${_root}/include/torch/headeronly/version.h")
  if(NOT EXISTS "${_version_header}")
    set(_version_header "${_root}/include/torch/csrc/api/include/torch/version.h")
  endif()
  if(NOT EXISTS "${_version_header}" OR NOT EXISTS "${_root}/lib/libtorch_cpu.so")
    set(LibTorch_MESSAGE "${_how} names ${_root}, which is not a LibTorch (include/ and lib/libtorch_cpu.so are not both there)")
    break()
  endif()
  file(STRINGS "${_version_header}" _lines REGEX "#define TORCH_VERSION_(MAJOR|MINOR|PATCH) ")
  string(REGEX REPLACE ".*TORCH_VERSION_MAJOR ([0-9]+).*" "\\1" _major "${_lines}")
  string(REGEX REPLACE ".*TORCH_VERSION_MINOR ([0-9]+).*" "\\1" _minor "${_lines}")
  string(REGEX REPLACE ".*TORCH_VERSION_PATCH ([0-9]+).*" "\\1" _patch "${_lines}")
  set(LibTorch_VERSION "${_major}.${_minor}.${_patch}")
  if(LibTorch_VERSION VERSION_LESS LibTorch_MINIMUM OR NOT LibTorch_VERSION VERSION_LESS LibTorch_BELOW)
    set(LibTorch_MESSAGE "LibTorch ${LibTorch_VERSION} found through ${_how} at ${_root}; versions 2.11 to 2.15 are supported")
    break()
  endif()
  set(LibTorch_FOUND TRUE)
  set(LibTorch_ROOT "${_root}")
  message(STATUS "LibTorch ${LibTorch_VERSION} found through ${_how}: ${_root}")
  break()
endforeach()

if(LibTorch_FOUND AND NOT TARGET LibTorch::cpu)
  add_library(LibTorch::c10 SHARED IMPORTED)
  set_target_properties(LibTorch::c10 PROPERTIES IMPORTED_LOCATION "${LibTorch_ROOT}/lib/libc10.so")
  add_library(LibTorch::torch_cpu SHARED IMPORTED)
  set_target_properties(LibTorch::torch_cpu PROPERTIES IMPORTED_LOCATION "${LibTorch_ROOT}/lib/libtorch_cpu.so")
  add_library(LibTorch::cpu INTERFACE IMPORTED)
  set_target_properties(LibTorch::cpu PROPERTIES
    INTERFACE_INCLUDE_DIRECTORIES "${LibTorch_ROOT}/include;${LibTorch_ROOT}/include/torch/csrc/api/include"
    INTERFACE_COMPILE_DEFINITIONS "_GLIBCXX_USE_CXX11_ABI=1"
    INTERFACE_LINK_LIBRARIES "LibTorch::torch_cpu;LibTorch::c10"
    INTERFACE_LINK_OPTIONS "LINKER:--allow-shlib-undefined")
  if(EXISTS "${LibTorch_ROOT}/lib/libtorch_cuda.so")
    add_library(LibTorch::cuda INTERFACE IMPORTED)
    set_target_properties(LibTorch::cuda PROPERTIES INTERFACE_LINK_LIBRARIES
      "${LibTorch_ROOT}/lib/libtorch_cuda.so;${LibTorch_ROOT}/lib/libc10_cuda.so")
  endif()
  add_library(LibTorch::openmp INTERFACE IMPORTED)
  file(GLOB _openmp "${LibTorch_ROOT}/lib/libgomp*.so*")
  if(_openmp)
    list(GET _openmp 0 _openmp)
  else()
    find_package(OpenMP REQUIRED COMPONENTS CXX)
    set(_openmp "${OpenMP_CXX_LIBRARIES}")
  endif()
  set_target_properties(LibTorch::openmp PROPERTIES INTERFACE_LINK_LIBRARIES "${_openmp}")
endif()
mark_as_advanced(ENGRAFT_PYTHON3)
