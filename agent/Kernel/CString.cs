using System.Text;

namespace OpenSandbox.Agent;

/// <summary>Strings as the kernel takes them.</summary>
internal static class CString
{
    /// <summary>The UTF-8 bytes of a string and a NUL.</summary>
    internal static byte[] From(string text)
    {
        byte[] bytes = new byte[Encoding.UTF8.GetByteCount(text) + 1];
        Encoding.UTF8.GetBytes(text, bytes);
        return bytes;
    }
}
