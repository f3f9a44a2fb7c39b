#include "graph/audit_names.h"

#include <algorithm>
#include <string_view>
#include <unordered_set>

namespace engraft::graph {

namespace {

// From the operators registered in LibTorch 2.11, without those that touch files, other processes, the random state,
// a tensor's storage or its place in the gradient graph, and without backward, sparse, quantised and vendor kernels.
const char* const kOperators =
    "Bool Complex ComplexImplicit Delete Float FloatImplicit Int IntImplicit ScalarImplicit Size __and__ "
    "__contains__ __derive_index __getitem__ __iand__ __interpolate __ior__ __is__ __isnot__ __lshift__ __not__ "
    "__or__ __range_length __round_to_zero_floordiv __rshift__ __upsample __upsample_bilinear __upsample_nearest "
    "__xor__ _adaptive_avg_pool2d _add_relu _assert_async _assert_tensor_metadata _cast_Float _cdist_forward "
    "_convolution _functional_assert_async _get_tracing_state _infer_size _list_to_tensor _log_softmax "
    "_native_multi_head_attention _nnpack_spatial_convolution _pack_sequence _reshape_alias "
    "_scaled_dot_product_flash_attention _set_item _shape_as_tensor _size_if_not_equal _softmax _tensor_to_list "
    "_transformer_encoder_layer_fwd _unique2 _unsafe_view _upsample_bicubic2d_aa _upsample_bilinear2d_aa "
    "_weight_norm abs abs_ absolute absolute_ acos acos_ acosh acosh_ adaptive_avg_pool1d adaptive_avg_pool2d "
    "adaptive_avg_pool3d adaptive_max_pool1d adaptive_max_pool2d adaptive_max_pool3d add add_ addbmm addbmm_ "
    "addcdiv addcdiv_ addcmul addcmul_ addmm addmm_ addmv addmv_ addr addr_ adjoint affine_grid_generator alias "
    "all allclose alpha_dropout alpha_dropout_ amax amin aminmax angle any append arange arccos arccos_ arccosh "
    "arccosh_ arcsin arcsin_ arcsinh arcsinh_ arctan arctan2 arctan2_ arctan_ arctanh arctanh_ argmax argmin "
    "argsort argwhere as_tensor asin asin_ asinh asinh_ atan atan2 atan2_ atan_ atanh atanh_ atleast_1d "
    "atleast_2d atleast_3d avg_pool1d avg_pool2d avg_pool3d baddbmm baddbmm_ batch_norm bernoulli bernoulli_ "
    "bilinear bin binary_cross_entropy binary_cross_entropy_with_logits bincount binomial bitwise_and "
    "bitwise_and_ bitwise_left_shift bitwise_left_shift_ bitwise_not bitwise_not_ bitwise_or bitwise_or_ "
    "bitwise_right_shift bitwise_right_shift_ bitwise_xor bitwise_xor_ block_diag bmm broadcast_tensors "
    "broadcast_to bucketize can_cast capitalize cartesian_prod cat cauchy cauchy_ cdist ceil ceil_ celu celu_ "
    "center chain_matmul chalf channel_shuffle cholesky cholesky_inverse cholesky_solve choose_qparams_optimized "
    "chr chunk clamp clamp_ clamp_max clamp_max_ clamp_min clamp_min_ clear clip clip_ clone col2im column_stack "
    "combinations complex concat concatenate conj conj_physical conj_physical_ constant_pad_nd contiguous conv1d "
    "conv2d conv3d conv_depthwise3d conv_tbc conv_transpose1d conv_transpose2d conv_transpose3d convolution copy "
    "copy_ copysign copysign_ corrcoef cos cos_ cosh cosh_ cosine_embedding_loss cosine_similarity count "
    "count_nonzero cov cpu cross cross_entropy_loss ctc_loss cummax cummin cumprod cumprod_ cumsum cumsum_ "
    "cumulative_trapezoid deg2rad deg2rad_ degrees det detach detach_ device diag diag_embed diagflat diagonal "
    "diagonal_scatter dict diff digamma digamma_ dim dist div div_ divide divide_ divmod dot dropout dropout_ "
    "dsplit dstack einsum element_size elu elu_ embedding embedding_bag embedding_renorm embedding_renorm_ empty "
    "empty_like empty_permuted empty_strided endswith eq eq_ equal erf erf_ erfc erfc_ erfinv erfinv_ exp exp2 "
    "exp2_ exp_ expand expand_as expandtabs expm1 expm1_ exponential exponential_ extend eye fabs factorial "
    "feature_alpha_dropout feature_alpha_dropout_ feature_dropout feature_dropout_ fft_fft fft_fft2 fft_ifft "
    "fft_ifft2 fft_irfft fft_irfft2 fft_rfft fft_rfft2 fill fill_ fill_diagonal_ find fix fix_ flatten "
    "flatten_dense_tensors flip fliplr flipud float_power float_power_ floor floor_ floor_divide floor_divide_ "
    "floordiv fmax fmin fmod fmod_ format frac frac_ fractional_max_pool2d fractional_max_pool3d frexp "
    "frobenius_norm full full_like fused_moving_avg_obs_fake_quant gamma gather gcd gcd_ ge ge_ gelu gelu_ "
    "geometric geometric_ geqrf ger get get_device glu gradient greater greater_ greater_equal greater_equal_ "
    "grid_sampler grid_sampler_2d grid_sampler_3d group_norm gt gt_ hann_window hardshrink hardsigmoid "
    "hardsigmoid_ hardswish hardswish_ hardtanh hardtanh_ hash heaviside heaviside_ hex hinge_embedding_loss "
    "histc histogram histogramdd hsplit hspmm hstack huber_loss hypot hypot_ i0 i0_ igamma igamma_ igammac "
    "igammac_ im2col imag index index_add index_add_ index_fill index_fill_ index_put index_put_ index_reduce "
    "index_reduce_ index_select indices inner insert instance_norm inverse is_complex is_conj is_contiguous "
    "is_floating_point is_grad_enabled is_inference is_neg is_non_overlapping_and_dense is_nonzero is_pinned "
    "is_same_size is_scripting is_signed is_strides_like_format isalnum isalpha isclose isdecimal isdigit "
    "isfinite isidentifier isin isinf islower isnan isneginf isnumeric isposinf isprintable isreal isspace istft "
    "istitle isupper item items join keys kl_div kron kthvalue l1_loss layer_norm lcm lcm_ ldexp ldexp_ le le_ "
    "leaky_relu leaky_relu_ len lerp lerp_ less less_ less_equal less_equal_ lgamma lgamma_ linalg_norm "
    "linalg_vector_norm linear linspace list ljust log log10 log10_ log1p log1p_ log2 log2_ log_ log_normal "
    "log_normal_ log_sigmoid log_sigmoid_forward log_softmax logaddexp logaddexp2 logcumsumexp logdet logical_and "
    "logical_and_ logical_not logical_not_ logical_or logical_or_ logical_xor logical_xor_ logit logit_ logspace "
    "logsumexp lower lstrip lt lt_ lu_solve lu_unpack mH mT margin_ranking_loss masked_fill masked_fill_ "
    "masked_scatter masked_scatter_ masked_select mathremainder matmul matrix_H matrix_exp matrix_power max "
    "max_pool1d max_pool1d_with_indices max_pool2d max_pool2d_with_indices max_pool3d max_pool3d_with_indices "
    "max_unpool2d max_unpool3d maximum mean median meshgrid min minimum mish mish_ mm mode modf moveaxis movedim "
    "mse_loss msort mul mul_ multi_margin_loss multilabel_margin_loss multilabel_margin_loss_forward multinomial "
    "multiply multiply_ mv mvlgamma mvlgamma_ nan_to_num nan_to_num_ nanmean nanmedian nanquantile nansum narrow "
    "native_batch_norm native_channel_shuffle native_group_norm native_layer_norm ne ne_ neg neg_ negative "
    "negative_ new_empty new_empty_strided new_full new_ones new_zeros nextafter nextafter_ nll_loss nll_loss2d "
    "nll_loss2d_forward nll_loss_forward nll_loss_nd nonzero nonzero_numpy nonzero_static norm norm_except_dim "
    "normal normal_ not_equal not_equal_ nuclear_norm numel numpy_T oct one_hot ones ones_like ord orgqr ormqr "
    "outer pad pad_sequence pairwise_distance partition pdist percentFormat permute pinverse pixel_shuffle "
    "pixel_unshuffle poisson poisson_nll_loss polar polygamma polygamma_ pop popitem positive pow pow_ prelu prod "
    "promote_types qr quantile rad2deg rad2deg_ radians rand rand_like randint randint_like randn randn_like "
    "random random_ randperm range ravel real reciprocal reciprocal_ reflection_pad1d reflection_pad2d "
    "reflection_pad3d relu relu6 relu6_ relu_ remainder remainder_ remove renorm renorm_ repeat repeat_interleave "
    "replace replication_pad1d replication_pad2d replication_pad3d requires_grad_ reshape reshape_as resolve_conj "
    "resolve_neg result_type reverse rfind rindex rjust rms_norm roll rot90 round round_ row_stack rpartition "
    "rrelu rrelu_ rrelu_with_noise rrelu_with_noise_ rsplit rsqrt rsqrt_ rstrip rsub scalar_tensor "
    "scaled_dot_product_attention scatter scatter_ scatter_add scatter_add_ scatter_reduce scatter_reduce_ "
    "searchsorted segment_reduce select select_scatter selu selu_ setdefault sgn sgn_ sigmoid sigmoid_ sign sign_ "
    "signbit silu silu_ sin sin_ sinc sinc_ sinh sinh_ size slice slice_inverse slice_scatter slogdet slow_conv3d "
    "slow_conv3d_forward slow_conv_dilated2d slow_conv_dilated3d slow_conv_transpose2d slow_conv_transpose3d smm "
    "smooth_l1_loss soft_margin_loss softmax softplus softshrink sort sorted special_erf special_expit split "
    "split_with_sizes splitlines sqrt sqrt_ square square_ squeeze squeeze_ sspaddmm stack startswith std "
    "std_mean stft str stride strip sub sub_ subtract subtract_ sum sum_to_size svd swapaxes swapaxes_ swapcase "
    "swapdims swapdims_ t t_ take take_along_dim tan tan_ tanh tanh_ tensor tensor_split tensordot thnn_conv2d "
    "threshold threshold_ tile title to to_dense to_padded_tensor topk trace transpose transpose_ trapezoid trapz "
    "triangular_solve tril tril_ tril_indices triplet_margin_loss triu triu_ triu_indices true_divide "
    "true_divide_ trunc trunc_ type_as unbind unflatten unflatten_dense_tensors unfold uniform uniform_ "
    "unique_consecutive unique_dim unique_dim_consecutive unsqueeze unsqueeze_ update upper upsample_bicubic2d "
    "upsample_bilinear2d upsample_linear1d upsample_nearest1d upsample_nearest2d upsample_nearest3d "
    "upsample_trilinear3d values vander var var_mean vdot view view_as view_as_complex view_as_real vsplit vstack "
    "warn where xlogy xlogy_ zero zero_ zeros zeros_like zfill "
    // what layers of attention ask about their surroundings
    "is_autocast_enabled is_autocast_cpu_enabled "
    // prim
    "NumToTensor RaiseException TupleIndex TupleUnpack ModuleContainerIndex Uninitialized EnumName EnumValue "
    "StringIndex IfThenElse dtype is_cpu is_cuda is_meta is_mkldnn is_mps is_nested is_quantized is_sparse is_xla "
    "is_xpu itemsize layout name nbytes rangelist requires_grad tolist type unchecked_cast "
    "unchecked_unwrap_optional";

const char* const kBuiltins =
    "annotate uninitialized unchecked_cast unchecked_unwrap_optional isinstance getattr hasattr int float bool str "
    "complex len list tuple dict range rangelist zip enumerate min max abs sum all any ord chr round divmod pow "
    "sorted reversed hex oct bin inf nan infj nanj Tensor Exception";

std::unordered_set<std::string_view> words(std::string_view text) {
  std::unordered_set<std::string_view> set;
  for (size_t start = 0; start < text.size();) {
    const size_t end = std::min(text.find(' ', start), text.size());
    if (end > start) set.insert(text.substr(start, end - start));
    start = end + 1;
  }
  return set;
}

}  // namespace

bool is_allowed_operator(const std::string& name) {
  static const auto names = words(kOperators);
  return names.count(name) != 0;
}

bool is_allowed_builtin(const std::string& name) {
  static const auto names = words(kBuiltins);
  return names.count(name) != 0;
}

const char* allowed_operator_names() { return kOperators; }

}  // namespace engraft::graph
