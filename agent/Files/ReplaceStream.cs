using OpenSandbox.VirtioSerial;

namespace OpenSandbox.Agent;

/// <summary>Replaces bytes in several files. What goes wrong with one is that one's answer.</summary>
internal sealed class ReplaceStream : LineStream
{
    private const int MaxFiles = 1_000;
    private const long MaxFileBytes = 64L << 20;

    private readonly ReplaceRequest _request;

    internal ReplaceStream(BulkLoop loop, uint id, ReplaceRequest request)
        : base(loop, id)
    {
        if (request.Files.Length is 0 or > MaxFiles || request.MaxFileBytes is < 1 or > MaxFileBytes || request.Files.AsSpan().Contains(null!))
        {
            GuestException.ThrowInvalid($"files: 1 to {MaxFiles}; maxFileBytes: 1 to {MaxFileBytes}");
        }

        _request = request;
    }

    protected override void Work(FrameBuffer output)
    {
        var replacer = new TextReplacer(Loop.Commands.Users, _request.MaxFileBytes ?? MaxFileBytes, () => IsClosed);
        int changed = 0;
        foreach (ReplaceItem item in _request.Files)
        {
            ItemReply reply;
            try
            {
                (FileEntry? file, int count) = replacer.Replace(item);
                changed += count > 0 ? 1 : 0;
                reply = new ItemReply { Path = item.Path, File = file, Count = count };
            }
            catch (GuestException exception) when (ItemErrors.Concerns(exception))
            {
                reply = new ItemReply { Path = item.Path, Error = ItemErrors.From(exception) };
            }

            if (!AddLine(output, reply, ProtocolJsonContext.Default.ItemReply))
            {
                return;
            }
        }

        if (SendLines(output))
        {
            Answer(output, FrameType.Result, new FileResult { Count = changed }, ProtocolJsonContext.Default.FileResult);
        }
    }
}
