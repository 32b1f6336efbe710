using FsCheck;
using FsCheck.Fluent;
using OpenSandbox.Host.Security;

namespace OpenSandbox.Host.Tests;

public sealed class UrlSignerTests : IDisposable
{
    private readonly string _directory = Directory.CreateTempSubdirectory("osb-signer-").FullName;

    public void Dispose() => Directory.Delete(_directory, recursive: true);

    [Fact]
    public void Verify_OwnSignature_IsRight_AlsoForTheNextServer()
    {
        string signature = new UrlSigner(_directory).Sign("sb-1", "/a", UrlSigner.Download, 7);

        Assert.Matches("^[0-9a-f]{64}$", signature);
        Assert.True(new UrlSigner(_directory).Verify("sb-1", "/a", UrlSigner.Download, 7, signature));
    }

    [Fact]
    public void Verify_AnythingElse_IsWrong()
    {
        var signer = new UrlSigner(_directory);
        string signature = signer.Sign("sb-1", "/a", UrlSigner.Download, 7);

        Assert.False(signer.Verify("sb-2", "/a", UrlSigner.Download, 7, signature));
        Assert.False(signer.Verify("sb-1", "/b", UrlSigner.Download, 7, signature));
        Assert.False(signer.Verify("sb-1", "/a", UrlSigner.Upload, 7, signature));
        Assert.False(signer.Verify("sb-1", "/a", UrlSigner.Download, 8, signature));
        Assert.False(signer.Verify("sb-1", "/a", UrlSigner.Download, 7, ""));
        Assert.False(signer.Verify("sb-1", "/a", UrlSigner.Download, 7, signature[..^1]));
        Assert.False(signer.Verify("sb-1", "/a", UrlSigner.Download, 7, new string('g', 64)));
        Assert.False(signer.Verify("sb-1", "/a", UrlSigner.Download, 7, new string('0', 64)));
    }

    [Fact]
    public void Sign_PathsWithLineFeeds_CannotPoseAsOtherRequests()
    {
        var signer = new UrlSigner(_directory);
        Gen<(string Path, string Operation, long Expires)> requests =
            from path in Properties.Text
            from operation in Gen.Elements(UrlSigner.Download, UrlSigner.Upload)
            from expires in Gen.Choose(0, 20)
            select ($"{path}\n{operation}\n{expires}", operation, (long)expires);
        Properties.ForAll(Gen.Zip(requests, requests), pair =>
            pair.Item1 == pair.Item2
            || !signer.Verify("sb-1", pair.Item1.Path, pair.Item1.Operation, pair.Item1.Expires, signer.Sign("sb-1", pair.Item2.Path, pair.Item2.Operation, pair.Item2.Expires)));
    }

    [Fact]
    public void Open_DamagedKey_IsRefused()
    {
        _ = new UrlSigner(_directory);
        string file = Path.Combine(_directory, "api", "signing-key");
        File.WriteAllText(file, "short");

        Assert.Throws<IOException>(() => new UrlSigner(_directory));
    }
}
