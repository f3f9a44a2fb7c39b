# Finds OpenVINO's runtime and PyTorch front end and makes openvino::runtime and openvino::frontend::pytorch.
#
# Looked for, first found wins: OpenVINO_DIR (the folder of OpenVINOConfig.cmake), .venv of this checkout (the wheel
# brings headers, libraries and CMake files). Sets EngraftOpenVINO_FOUND, EngraftOpenVINO_VERSION,
# EngraftOpenVINO_LIBRARY_DIR (where libopenvino.so lies), EngraftOpenVINO_MESSAGE.
set(EngraftOpenVINO_MINIMUM 2026.4)
set(EngraftOpenVINO_FOUND FALSE)
set(EngraftOpenVINO_MESSAGE "missing: OpenVINO ${EngraftOpenVINO_MINIMUM} or newer (set OpenVINO_DIR, or install the openvino wheel into .venv)")
if(DEFINED OpenVINO_DIR AND OpenVINO_DIR)
  set(_folders "${OpenVINO_DIR}")
else()
  file(GLOB _folders "${CMAKE_SOURCE_DIR}/.venv/lib/python3*/site-packages/openvino/cmake")
endif()
if(_folders)
  find_package(OpenVINO ${EngraftOpenVINO_MINIMUM} CONFIG QUIET COMPONENTS Runtime PyTorch PATHS ${_folders} NO_DEFAULT_PATH)
  if(OpenVINO_FOUND AND TARGET openvino::frontend::pytorch)
    set(EngraftOpenVINO_FOUND TRUE)
    set(EngraftOpenVINO_VERSION "${OpenVINO_VERSION}")
    get_target_property(_library openvino::runtime IMPORTED_LOCATION_RELEASE)
    get_filename_component(EngraftOpenVINO_LIBRARY_DIR "${_library}" DIRECTORY)
    message(STATUS "OpenVINO ${OpenVINO_VERSION} found: ${OpenVINO_DIR}")
  else()
    set(EngraftOpenVINO_MESSAGE "OpenVINO in ${_folders} cannot be used: ${EngraftOpenVINO_MINIMUM} or newer with its PyTorch front end is needed")
  endif()
endif()
