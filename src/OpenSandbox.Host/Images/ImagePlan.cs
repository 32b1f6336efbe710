using System.Buffers;
using System.Security.Cryptography;
using System.Text;
using System.Text.Encodings.Web;
using System.Text.Json;
using OpenSandbox.Host.Api;
using OpenSandbox.Host.Errors;
using OpenSandbox.Host.Json;

namespace OpenSandbox.Host.Images;

/// <summary>An image that is to be built: checked as a whole before anything is done. Immutable.</summary>
internal sealed class ImagePlan
{
    private const int MaxSteps = 200;
    private const int MaxItems = 1_000;
    private const int MaxFiles = 10_000;
    private const int MaxText = 64 << 10;
    private const int MaxPath = 4_095;
    private const string Base = "base";

    private static readonly SearchValues<char> s_packageCharacters =
        SearchValues.Create("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.+-_=~:<>!,[]/@ ;*");

    private static readonly string[] s_members = ["base", "steps", "name", "builderMemoryMB", "runtimeMemoryMB"];

    private ImagePlan(string hash, JsonElement manifest, IReadOnlyList<BuildAction> actions, int? memoryMib)
    {
        Hash = hash;
        Manifest = manifest;
        Actions = actions;
        BuilderMemoryMib = memoryMib;
    }

    /// <summary>SHA-256, hexadecimal, of base and steps.</summary>
    internal string Hash { get; }

    /// <summary>What is kept of what the client has sent.</summary>
    internal JsonElement Manifest { get; }

    /// <summary>What is done, in order.</summary>
    internal IReadOnlyList<BuildAction> Actions { get; }

    /// <summary>Size of the sandbox that it is built in; nothing: the usual.</summary>
    internal int? BuilderMemoryMib { get; }

    /// <summary>Reads what a client has sent.</summary>
    /// <exception cref="ApiException">400: it cannot be built.</exception>
    internal static ImagePlan From(JsonElement sent)
    {
        if (sent.ValueKind != JsonValueKind.Object)
        {
            throw ApiException.Bad("image: an object with base and steps");
        }

        try
        {
            return Read(sent);
        }
        catch (InvalidOperationException broken)
        {
            // Half a character, which can be neither read nor written.
            throw new ApiException(StatusCodes.Status400BadRequest, "image: a text in it is no Unicode", broken);
        }
    }

    private static ImagePlan Read(JsonElement sent)
    {
        foreach (JsonProperty member in sent.EnumerateObject())
        {
            if (Array.Find(s_members, name => string.Equals(name, member.Name, StringComparison.OrdinalIgnoreCase)) is { } meant && meant != member.Name)
            {
                throw ApiException.Bad($"image.{member.Name}: it is written {meant}"); // passed over, it would be another image
            }
        }

        ImageManifest manifest = sent.Deserialize(ImageJsonContext.Default.ImageManifest)!;
        if (manifest.Base is not (null or "" or "default" or Base))
        {
            throw ApiException.Bad($"image.base '{manifest.Base}': {Base}");
        }

        ImageStep[] steps = manifest.Steps ?? [];
        if (steps.Length > MaxSteps)
        {
            throw ApiException.Bad($"image: {steps.Length} steps, at most {MaxSteps}");
        }

        var actions = new List<BuildAction>();
        for (int i = 0; i < steps.Length; i++)
        {
            Add(actions, i + 1, steps[i]);
        }

        return new ImagePlan(HashOf(sent), KeptManifest.Of(sent), actions, manifest.BuilderMemoryMB);
    }

    // As the client computes it: the two members alone, without white space, in the order in which they came.
    private static string HashOf(JsonElement manifest)
    {
        var buffer = new ArrayBufferWriter<byte>();
        using (var writer = new Utf8JsonWriter(buffer, new JsonWriterOptions { Encoder = JavaScriptEncoder.UnsafeRelaxedJsonEscaping }))
        {
            writer.WriteStartObject();
            writer.WriteString("base", Base);
            writer.WritePropertyName("steps");
            if (manifest.TryGetProperty("steps", out JsonElement steps) && steps.ValueKind == JsonValueKind.Array)
            {
                steps.WriteTo(writer);
            }
            else
            {
                writer.WriteStartArray();
                writer.WriteEndArray();
            }

            writer.WriteEndObject();
        }

        return Convert.ToHexStringLower(SHA256.HashData(buffer.WrittenSpan));
    }

    private static void Add(List<BuildAction> actions, int number, ImageStep? step)
    {
        string type = step?.Type ?? "";
        ImageStepArgs args = step?.Args ?? new ImageStepArgs();
        var action = new BuildAction(number, type);
        switch (type)
        {
            case "apt_install":
                actions.Add(action with { Command = ["sudo", "apt-get", "-q", "update"] });
                actions.Add(action with
                {
                    Command = ["sudo", "env", "DEBIAN_FRONTEND=noninteractive", "apt-get", "-q", "install", "-y", "--", .. Packages(number, args.Packages)],
                });
                break;
            case "pip_install":
                actions.Add(action with
                {
                    Command = ["sudo", "-H", "python3", "-m", "pip", "install", "--no-cache-dir", "--progress-bar", "off", "--", .. Packages(number, args.Packages)],
                });
                break;
            case "run":
                actions.AddRange(Texts(number, "commands", args.Commands).Select(command => action with { Command = ["bash", "-c", command] }));
                break;
            case "env":
                actions.Add(action with { Environment = Variables(number, args.Vars) });
                break;
            case "workdir":
                actions.Add(action with { Directory = PathOf(number, args.Path) });
                break;
            case "add_file":
                actions.Add(action with { File = (PathOf(number, args.Path), ContentOf(number, args.Content, args.Encoding)) });
                break;
            case "add_dir":
                AddFolder(actions, action, args);
                break;
            default:
                throw Wrong(number, $"type '{type}': apt_install, pip_install, run, env, workdir, add_file or add_dir");
        }
    }

    private static void AddFolder(List<BuildAction> actions, BuildAction action, ImageStepArgs args)
    {
        string root = PathOf(action.Step, args.Path).TrimEnd('/');
        ImageFile[] files = args.Files ?? throw Wrong(action.Step, "files is required");
        if (files.Length > MaxFiles)
        {
            throw Wrong(action.Step, $"{files.Length} files, at most {MaxFiles}");
        }

        foreach (ImageFile? file in files)
        {
            string relative = (file?.RelativePath ?? "").Replace('\\', '/');
            if (relative.Length == 0 || relative.StartsWith('/') || relative.Split('/').Any(static part => part is ".." or ""))
            {
                throw Wrong(action.Step, $"relativePath '{relative}': a path below the folder");
            }

            actions.Add(action with { File = (PathOf(action.Step, $"{root}/{relative}"), ContentOf(action.Step, file!.Content, "base64")) });
        }
    }

    private static string[] Packages(int step, string[]? packages)
    {
        string[] texts = Texts(step, "packages", packages);
        return Array.Find(texts, static name => name[0] is '-' or ' ' or '/' or '.' || name.AsSpan().ContainsAnyExcept(s_packageCharacters)) is { } wrong
            ? throw Wrong(step, $"package '{wrong}': a name, and a version if need be")
            : texts;
    }

    private static string[] Texts(int step, string name, string[]? values) =>
        values is { Length: > 0 and <= MaxItems } && values.All(static text => text is { Length: > 0 and <= MaxText } && !text.Contains('\0', StringComparison.Ordinal))
            ? values
            : throw Wrong(step, $"{name} is required: 1 to {MaxItems} texts of up to {MaxText} characters");

    private static Dictionary<string, string> Variables(int step, Dictionary<string, string>? variables)
    {
        if (variables is not { Count: > 0 and <= MaxItems })
        {
            throw Wrong(step, $"vars is required: 1 to {MaxItems} variables");
        }

        foreach ((string name, string value) in variables)
        {
            if (name.Length == 0 || char.IsAsciiDigit(name[0]) || name.Any(static c => !char.IsAsciiLetterOrDigit(c) && c != '_'))
            {
                throw Wrong(step, $"variable '{name}': letters, digits and _");
            }

            if (value is null || value.Length > MaxText || value.AsSpan().ContainsAny('\0', '\n', '\r'))
            {
                throw Wrong(step, $"variable {name}: one line of up to {MaxText} characters");
            }
        }

        return variables;
    }

    private static string PathOf(int step, string? path) =>
        path is { Length: > 0 and <= MaxPath } && path.StartsWith('/') && !path.Contains('\0', StringComparison.Ordinal)
            ? path
            : throw Wrong(step, $"path '{path}': an absolute path");

    private static byte[] ContentOf(int step, string? content, string? encoding)
    {
        try
        {
            return encoding switch
            {
                null or "" or "utf8" or "utf-8" or "text" => Encoding.UTF8.GetBytes(content ?? ""),
                "base64" => Convert.FromBase64String(content ?? ""),
                _ => throw Wrong(step, $"encoding '{encoding}': base64 or utf-8"),
            };
        }
        catch (FormatException)
        {
            throw Wrong(step, "content is no base64");
        }
    }

    private static ApiException Wrong(int step, string what) => ApiException.Bad($"image, step {step}: {what}");
}
