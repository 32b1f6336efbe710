using System.Globalization;
using System.Text;

namespace OpenSandbox.Agent;

/// <summary>One answer of the metadata service.</summary>
/// <param name="Status">Status code.</param>
/// <param name="ContentType">Type of the body.</param>
/// <param name="Body">The body.</param>
internal sealed record HttpReply(int Status, string ContentType, byte[] Body)
{
    /// <summary>An answer in JSON.</summary>
    internal static HttpReply Json(byte[] body) => new(200, "application/json", body);

    /// <summary>An error in plain text.</summary>
    internal static HttpReply Error(int status, string text) => new(status, "text/plain; charset=utf-8", Encoding.UTF8.GetBytes(text + "\n"));

    /// <summary>The answer as it is sent; the connection ends with it.</summary>
    /// <param name="withBody">Not for HEAD.</param>
    internal byte[] ToBytes(bool withBody)
    {
        string allow = Status == 405 ? "Allow: GET, HEAD, POST\r\n" : "";
        byte[] head = Encoding.ASCII.GetBytes(string.Create(
            CultureInfo.InvariantCulture,
            $"HTTP/1.1 {Status} {Reason(Status)}\r\nContent-Type: {ContentType}\r\nContent-Length: {Body.Length}\r\n{allow}Connection: close\r\n\r\n"));
        return withBody ? [.. head, .. Body] : head;
    }

    private static string Reason(int status) => status switch
    {
        200 => "OK",
        400 => "Bad Request",
        404 => "Not Found",
        405 => "Method Not Allowed",
        409 => "Conflict",
        503 => "Service Unavailable",
        _ => "Internal Server Error",
    };
}
