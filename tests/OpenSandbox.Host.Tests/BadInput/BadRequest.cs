namespace OpenSandbox.Host.Tests.BadInput;

/// <summary>
/// A request that must be refused. In its target, body and headers <c>{sb}</c>, <c>{other}</c>, <c>{deleted}</c>, <c>{session}</c>,
/// <c>{terminal}</c>, <c>{exec}</c>, <c>{checkpoint}</c>, <c>{patch}</c> and <c>{snapshot}</c> stand for what the server has.
/// </summary>
/// <param name="Name">What is bad about it; unique.</param>
/// <param name="Status">The status that the answer must have.</param>
/// <param name="Method">The method.</param>
/// <param name="Target">Path and query.</param>
/// <param name="Body">The body: text, bytes, or none.</param>
/// <param name="Headers">More headers; with the key unless one of them is one.</param>
internal sealed record BadRequest(string Name, int Status, string Method, string Target, object? Body = null, params string[] Headers)
{
    /// <summary>Text that the error must contain.</summary>
    internal string? Says { get; init; }
}
