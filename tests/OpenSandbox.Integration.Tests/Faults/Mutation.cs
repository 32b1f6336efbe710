namespace OpenSandbox.Integration.Tests.Faults;

/// <summary>One change to a file, drawn from a seed. It always leaves other content than there was.</summary>
internal static class Mutation
{
    private static readonly string[] s_kinds = ["flip", "flip", "flip", "truncate", "extend", "zero", "noise", "swap", "empty", "delete"];

    /// <summary>Changes a file.</summary>
    /// <param name="path">The file.</param>
    /// <param name="twin">The same file of another snapshot, for a swap.</param>
    /// <param name="random">Where the choices come from.</param>
    /// <returns>What was done.</returns>
    internal static string Apply(string path, string twin, Random random)
    {
        byte[] content = File.ReadAllBytes(path);
        while (true)
        {
            string kind = s_kinds[random.Next(s_kinds.Length)];
            int at = random.Next(content.Length);
            switch (kind)
            {
                case "flip":
                    byte flipped = (byte)(content[at] ^ (1 << random.Next(8)));
                    Write(path, at, [flipped]);
                    return $"flip at {at}";
                case "truncate":
                    SetLength(path, at);
                    return $"truncate to {at}";
                case "extend":
                    Write(path, content.Length, new byte[1 + random.Next(4_096)]);
                    return "extend";
                case "zero" or "noise":
                    byte[] part = new byte[Math.Min(1 + random.Next(4_096), content.Length - at)];
                    if (kind == "noise")
                    {
                        random.NextBytes(part);
                    }

                    if (!part.AsSpan().SequenceEqual(content.AsSpan(at, part.Length)))
                    {
                        Write(path, at, part);
                        return $"{kind} {part.Length} bytes at {at}";
                    }

                    break;
                case "swap" when !content.AsSpan().SequenceEqual(File.ReadAllBytes(twin)):
                    File.Copy(twin, path, overwrite: true);
                    return "swap";
                case "empty":
                    SetLength(path, 0);
                    return "empty";
                case "delete":
                    File.Delete(path);
                    return "delete";
                default:
                    break;
            }
        }
    }

    private static void Write(string path, long at, byte[] bytes)
    {
        using FileStream file = File.Open(path, FileMode.Open, FileAccess.Write);
        file.Position = at;
        file.Write(bytes);
    }

    private static void SetLength(string path, long length)
    {
        using FileStream file = File.Open(path, FileMode.Open, FileAccess.Write);
        file.SetLength(length);
    }
}
