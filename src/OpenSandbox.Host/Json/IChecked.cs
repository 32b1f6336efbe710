using OpenSandbox.Host.Errors;

namespace OpenSandbox.Host.Json;

/// <summary>A request's shape with rules that JSON types cannot tell; they are checked when it has been read.</summary>
internal interface IChecked
{
    /// <summary>Checks them.</summary>
    /// <exception cref="ApiException">400: one does not hold.</exception>
    void Check();
}
