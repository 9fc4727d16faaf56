"""Operators of the default ONNX domain that a handed-in model may use: deterministic, no control flow.

Random ones (RandomNormal, Multinomial, Bernoulli, ...) would make a score a matter of luck; Loop, If, Scan
and the sequence, string and optional families have no place in a classifier.
"""

_BY_KIND = {
    "arithmetic": "Add Sub Mul Div Mod Pow Neg Abs Sign Sqrt Reciprocal Exp Log Floor Ceil Round",
    "aggregates": "Clip Min Max Sum Mean CumSum ArgMax ArgMin TopK",
    "trigonometry": "Sin Cos Tan Sinh Cosh Asin Acos Atan Asinh Acosh Atanh",
    "products": "Gemm MatMul Einsum Conv ConvTranspose Attention",
    "activations": "Relu LeakyRelu PRelu ThresholdedRelu Elu Selu Celu Sigmoid HardSigmoid HardSwish",
    "more activations": "Swish Mish Tanh Softplus Softsign Erf Gelu Shrink Softmax LogSoftmax Hardmax",
    "pooling": "MaxPool AveragePool LpPool GlobalMaxPool GlobalAveragePool GlobalLpPool Resize",
    "normalization": "BatchNormalization InstanceNormalization LayerNormalization GroupNormalization LRN",
    "more normalization": "Dropout RMSNormalization LpNormalization MeanVarianceNormalization",
    "reduction": "ReduceMean ReduceSum ReduceMax ReduceMin ReduceProd ReduceL1 ReduceL2 ReduceSumSquare",
    "more reduction": "ReduceLogSum ReduceLogSumExp",
    "shape": "Flatten Reshape Transpose Squeeze Unsqueeze Concat Split Slice Pad Expand Tile Shape Size",
    "indices": "Gather GatherElements GatherND DepthToSpace SpaceToDepth Trilu Range EyeLike OneHot",
    "values": "Identity Constant ConstantOfShape Cast CastLike",
    "logic": "Where Greater GreaterOrEqual Less LessOrEqual Equal Not And Or Xor IsNaN IsInf",
}


def names(text: str) -> frozenset[str]:
    """Words of a text, for tables that are easier to read so."""
    return frozenset(text.split())


ALLOWED_OPERATORS = names(" ".join(_BY_KIND.values()))
